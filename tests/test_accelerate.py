"""Accelerate and transformers.Trainer: no sample is lost or seen twice, on one rank and on two."""

from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
accelerate = pytest.importorskip("accelerate")

from fdsl.torch import Dataset, Loader
from ranks import TINY, Numbers, run_on_ranks, samples, stream_of
from torch.utils.data import DataLoader, default_collate

STEPS = 4

pytestmark = pytest.mark.filterwarnings("ignore")


def merged(ranks: list[list[list[int]]]) -> list[list[int]]:
    """The global batch of each step."""
    return [list(chain(*batches)) for batches in zip(*ranks, strict=True)]


#: Loaders that lose nothing, on any number of ranks. "all" is a stream of all ranks' samples, which
#: Accelerate splits; the others give each rank its share themselves.
LOADERS = ("Loader", "prepared Loader", "DataLoader", "prepared, all", "prepared samples, all")


def loader_of(accelerator: Any, name: str, steps: int | None, workers: int) -> Any:
    of_all = {"rank": 0, "world_size": 1} if name.endswith("all") else {}
    world_size = accelerator.num_processes
    if name == "prepared samples, all":
        per_epoch = steps and steps * 4 * world_size
        stream = stream_of(batch_size=None, steps_per_epoch=per_epoch, **of_all)
        return accelerator.prepare(DataLoader(stream, batch_size=4, num_workers=min(workers, 1)))
    per_epoch = steps and steps * (world_size if of_all else 1)
    stream = stream_of(steps_per_epoch=per_epoch, **of_all)
    if name.endswith("Loader") and "Data" not in name:
        loader: Any = Loader(stream, device=accelerator.device)
    else:
        loader = DataLoader(stream, batch_size=None, num_workers=workers)
    return accelerator.prepare(loader) if name.startswith("prepared") else loader


def _epochs() -> dict[str, list[list[int]]]:
    """What this rank sees in two epochs, and in the first steps of an endless stream."""
    accelerator = accelerate.Accelerator(cpu=True)
    numbers, seen = Numbers(), {}
    for name in LOADERS:
        loader = loader_of(accelerator, name, STEPS, workers=1)
        seen[name] = [batch for _ in range(2) for batch in numbers.of_all(loader)]
        endless = loader_of(accelerator, name, None, workers=1)
        seen[f"{name}, endless"] = numbers.of_all(islice(endless, 3))
    return seen


def _refusals() -> list[str]:
    """What this rank is told where Accelerate would split its share once more."""
    told = []
    for dispatch in (None, False):
        config = accelerate.DataLoaderConfiguration(dispatch_batches=dispatch)
        accelerator = accelerate.Accelerator(cpu=True, dataloader_config=config)
        for steps in (STEPS, None):
            for changes, loading in [({}, None), ({"batch_size": None}, 4)]:
                stream = stream_of(steps_per_epoch=steps, **changes)
                loader = accelerator.prepare(DataLoader(stream, batch_size=loading))
                with pytest.raises(ValueError) as refusal:
                    next(iter(loader))
                told.append(str(refusal.value))
    return told


def test_one_process_sees_every_sample_once() -> None:
    for name, seen in _epochs().items():
        assert seen == samples(0, 3 if "endless" in name else 2 * STEPS), name


@pytest.mark.slow
def test_two_ranks_together_see_every_sample_once(tmp_path: Path) -> None:
    ranks = run_on_ranks(tmp_path, 2, _epochs)
    for name in ranks[0]:
        seen = merged([rank[name] for rank in ranks])
        assert seen == samples(0, 3 if "endless" in name else 2 * STEPS, batch=8), name


@pytest.mark.slow
def test_splitting_the_share_of_a_rank_is_refused_on_every_rank(tmp_path: Path) -> None:
    for told in run_on_ranks(tmp_path, 2, _refusals):
        assert len(told) == 8
        for sentence in told:
            assert "divides its samples among the 2 ranks" in sentence
            assert "Do not pass its DataLoader to accelerator.prepare" in sentence
            assert "Stream(..., rank=0, world_size=1)" in sentence


# transformers.Trainer


def collate(samples: list[Any]) -> dict[str, Any]:
    """The one line that names what a model takes."""
    return dict(zip(("pixel_values", "labels"), default_collate(samples), strict=True))


class Model(torch.nn.Module):
    """Trains one parameter, and records its input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[tuple[Any, Any]] = []

    def forward(self, pixel_values: Any, labels: Any) -> dict[str, Any]:
        self.seen.append((pixel_values, labels))
        return {"loss": self.layer(torch.ones(1, 1)).sum(), "logits": labels}


def trained(folder: Any, data: Any, **settings: Any) -> list[tuple[Any, Any]]:
    """Returns the batches that a Trainer feeds to the model."""
    transformers = pytest.importorskip("transformers")
    quiet = {"report_to": [], "save_strategy": "no", "disable_tqdm": True}
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), use_cpu=True, per_device_train_batch_size=4, **quiet, **settings
    )
    model = Model()
    transformers.Trainer(model, arguments, train_dataset=data, data_collator=collate).train()
    return model.seen


@pytest.mark.parametrize("workers", [0, 1])
def test_a_trainer_takes_an_endless_stream_for_max_steps(tmp_path: Path, workers: int) -> None:
    stream = stream_of(batch_size=None)
    seen = trained(tmp_path, stream, max_steps=5, dataloader_num_workers=workers)
    assert Numbers().of_all(seen) == samples(0, 5)
    labels = [label.item() for _, label in islice(stream_of(batch_size=None), 20)]
    assert torch.cat([labels for _, labels in seen]).tolist() == labels


def test_a_trainer_takes_the_epochs_of_a_stream(tmp_path: Path) -> None:
    stream = stream_of(batch_size=None, steps_per_epoch=4 * STEPS)
    assert Numbers().of_all(trained(tmp_path, stream, num_train_epochs=2)) == samples(0, 2 * STEPS)


def test_a_trainer_takes_a_data_set(tmp_path: Path) -> None:
    data = Dataset(stream_of().family, 4, rendering=TINY)
    seen = trained(tmp_path, data, num_train_epochs=1)
    images = [image.numpy().tobytes() for images, _ in seen for image in images]
    assert sorted(images) == sorted(image.numpy().tobytes() for image, _ in data)


def test_a_trainer_that_would_collate_batches_is_told_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"batch_size=None .*for single samples"):
        trained(tmp_path, stream_of(), max_steps=2)


def _train_as_rank(folder: str) -> tuple[list[list[int]], str]:
    numbers = Numbers()
    stream = stream_of(batch_size=None, rank=0, world_size=1)
    seen = numbers.of_all(trained(folder, stream, max_steps=5))
    with pytest.raises(ValueError) as refusal:
        trained(folder, stream_of(batch_size=None), max_steps=5)
    return seen, str(refusal.value)


@pytest.mark.slow
def test_a_trainer_on_two_ranks_splits_a_stream_of_all_ranks(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    results = run_on_ranks(tmp_path, 2, _train_as_rank, str(tmp_path / "out"))
    assert merged([seen for seen, _ in results]) == samples(0, 5, batch=8)
    for _, told in results:
        assert "With transformers.Trainer" in told
