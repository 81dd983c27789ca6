"""Lightning and Fabric train on a stream without a callback, and resume where they stopped."""

import logging
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning")

from fdsl.torch import Loader
from lightning.pytorch.callbacks import ModelCheckpoint
from ranks import Numbers, run_on_ranks, samples, stream_of
from torch.utils.data import DataLoader

STEPS = 4

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)


class Model(lightning.LightningModule):
    """Trains one parameter, and records which samples it sees."""

    def __init__(self, numbers: Numbers) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.numbers = numbers
        self.seen: list[list[int]] = []

    def training_step(self, batch: Any, _: int) -> Any:
        self.seen.append(self.numbers.of(batch[0]))
        return self.layer(torch.ones(1, 1)).sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def loader_of(kind: str, **changes: Any) -> Any:
    stream = stream_of(**{"steps_per_epoch": STEPS, **changes})
    if kind == "Loader":
        return Loader(stream)
    if kind == "StatefulDataLoader":
        torchdata = pytest.importorskip("torchdata.stateful_dataloader")
        return torchdata.StatefulDataLoader(stream, batch_size=None, num_workers=2)
    workers = int(kind.removeprefix("DataLoader-"))
    return DataLoader(stream, batch_size=None, num_workers=workers)


def fitted(
    numbers: Numbers, loader: Any, checkpoint: Any = None, **settings: Any
) -> list[list[int]]:
    """Returns the numbers of the samples in each step of a training run."""
    model = Model(numbers)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    defaults = {"accelerator": "cpu", "devices": 1, "enable_checkpointing": False}
    trainer = lightning.Trainer(**{**defaults, **quiet, **settings})
    trainer.fit(model, loader, ckpt_path=checkpoint)
    return model.seen


@pytest.fixture(scope="module")
def numbers() -> Numbers:
    return Numbers()


@pytest.mark.parametrize("kind", ["Loader", "DataLoader-0", "DataLoader-2"])
def test_every_epoch_sees_new_samples(numbers: Numbers, kind: str) -> None:
    assert fitted(numbers, loader_of(kind), max_epochs=3) == samples(0, 3 * STEPS)


@pytest.mark.parametrize("kind", ["Loader", "DataLoader-2"])
def test_an_endless_stream_trains_for_max_steps(numbers: Numbers, kind: str) -> None:
    assert fitted(numbers, loader_of(kind, steps_per_epoch=None), max_steps=6) == samples(0, 6)


def test_a_limit_of_batches_ends_each_epoch_early(numbers: Numbers) -> None:
    seen = fitted(numbers, loader_of("Loader"), max_epochs=2, limit_train_batches=3)
    assert seen == samples(0, 3) + samples(4, 7)


@pytest.mark.parametrize(
    "kind, step",
    [("Loader", 1), ("Loader", 4), ("Loader", 6), ("Loader", 8), ("StatefulDataLoader", 6)],
)
def test_a_resumed_run_sees_what_one_run_would_have_seen(
    numbers: Numbers, kind: str, step: int, tmp_path: Path
) -> None:
    saving = ModelCheckpoint(tmp_path, every_n_train_steps=step, save_top_k=-1)
    settings = {"max_epochs": 4, "callbacks": [saving], "enable_checkpointing": True}
    whole = fitted(numbers, loader_of(kind), **settings)
    assert whole == samples(0, 4 * STEPS)
    (checkpoint,) = tmp_path.glob(f"*step={step}.ckpt")
    assert fitted(numbers, loader_of(kind), checkpoint, max_epochs=4) == whole[step:]


def test_a_run_resumes_from_the_end_of_an_epoch(numbers: Numbers, tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path, every_n_epochs=1)
    settings = {"max_epochs": 2, "callbacks": [saving], "enable_checkpointing": True}
    fitted(numbers, loader_of("Loader"), **settings)
    (checkpoint,) = tmp_path.glob("*.ckpt")
    resumed = fitted(numbers, loader_of("Loader"), checkpoint, max_epochs=4)
    assert resumed == samples(2 * STEPS, 4 * STEPS)


def test_a_run_counted_in_steps_resumes(numbers: Numbers, tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path, every_n_train_steps=6)
    settings = {"max_steps": 6, "callbacks": [saving], "enable_checkpointing": True}
    fitted(numbers, loader_of("Loader"), **settings)
    (checkpoint,) = tmp_path.glob("*.ckpt")
    assert fitted(numbers, loader_of("Loader"), checkpoint, max_steps=14) == samples(6, 14)


def _fit_as_rank(kind: str) -> list[list[int]]:
    # Two processes that a launcher started, such as torchrun.
    return fitted(Numbers(), loader_of(kind), strategy="ddp", devices=2, max_epochs=2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Loader", "DataLoader-1"])
def test_two_ranks_together_see_what_one_process_would(kind: str, tmp_path: Path) -> None:
    first, second = run_on_ranks(tmp_path, 2, _fit_as_rank, kind)
    assert [a + b for a, b in zip(first, second, strict=True)] == samples(0, 2 * STEPS, batch=8)


# Fabric


def test_fabric_takes_a_loader_as_it_is(numbers: Numbers) -> None:
    fabric = lightning.Fabric(accelerator="cpu", devices=1)
    loader = Loader(stream_of(steps_per_epoch=STEPS), device=fabric.device)
    epochs = [numbers.of_all(loader) for _ in range(2)]
    assert epochs[0] + epochs[1] == samples(0, 2 * STEPS)
    with pytest.raises(TypeError, match="Only PyTorch DataLoader"):
        fabric.setup_dataloaders(loader)


@pytest.mark.parametrize("workers", [0, 2])
def test_fabric_sets_up_a_data_loader(numbers: Numbers, workers: int) -> None:
    fabric = lightning.Fabric(accelerator="cpu", devices=1)
    loader = fabric.setup_dataloaders(loader_of(f"DataLoader-{workers}"))
    epochs = [numbers.of_all(loader) for _ in range(2)]
    assert epochs[0] + epochs[1] == samples(0, 2 * STEPS)


def _fabric_as_rank() -> dict[str, list[list[int]]]:
    fabric = lightning.Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    numbers = Numbers()
    loader = Loader(stream_of(steps_per_epoch=STEPS), device=fabric.device)
    set_up = fabric.setup_dataloaders(loader_of("DataLoader-1"))
    return {
        name: [batch for _ in range(2) for batch in numbers.of_all(batches)]
        for name, batches in {"Loader": loader, "DataLoader": set_up}.items()
    }


@pytest.mark.slow
def test_fabric_on_two_ranks_sees_what_one_process_would(tmp_path: Path) -> None:
    first, second = run_on_ranks(tmp_path, 2, _fabric_as_rank)
    for name in ("Loader", "DataLoader"):
        pairs = zip(first[name], second[name], strict=True)
        assert [a + b for a, b in pairs] == samples(0, 2 * STEPS, batch=8), name
