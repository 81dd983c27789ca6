"""Ranks of a training script: one process, or several that agree."""

from pathlib import Path

import pytest
from packages import TRAINING, need

need(*TRAINING)

import torch
from fdsl.torch.training import Ranks
from processes import torchrun
from torch import nn
from training import rows


def under_torchrun(folder: Path, script: str, ranks: int = 2) -> None:
    """Runs a script on several ranks; `out` is its folder."""
    file = folder / "script.py"
    file.write_text("import sys\nfrom pathlib import Path\nout = Path(sys.argv[1])\n" + script)
    torchrun(file, folder, ranks=ranks)


def test_one_process_is_rank_0_of_1() -> None:
    with Ranks("cpu") as ranks:
        assert (ranks.rank, ranks.world_size, ranks.share(7)) == (0, 1, 7)
        assert ranks.from_first(lambda: "mine") == "mine"
        model = nn.Linear(2, 2)
        assert ranks.wrap(model) is model


def test_half_of_what_a_launcher_says_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match="WORLD_SIZE=2 is set without RANK"):
        Ranks("cpu")


def test_a_device_that_does_not_exist_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="device toaster: "):
        Ranks("toaster")


def test_random_numbers_are_a_function_of_seed_and_step() -> None:
    ranks = Ranks("cpu")
    numbers = []
    for seed, step in ((0, 1), (0, 2), (1, 1), (0, 1)):
        ranks.manual_seed(seed, step)
        numbers.append(torch.rand(1).item())
    assert numbers[0] == numbers[3] and len({*numbers}) == 3


@pytest.mark.slow
def test_ranks_stop_log_and_score_together(tmp_path: Path) -> None:
    under_torchrun(
        tmp_path,
        """
import os, signal, time, torch
from fdsl.torch.training import GracefulStop, MetricsLog, Ranks, Validation

with Ranks("cpu") as ranks, GracefulStop() as stop:
    rank = ranks.rank
    assert ranks.world_size == 2 and ranks.share(8) == 4
    assert ranks.from_first(lambda: f"of {rank}") == "of 0"

    def own():
        class Own(Exception):  # no other process knows it
            pass

        return Own

    for kind, shown in ((ValueError, "of 0"), (own(), "Own: of 0" if rank else "of 0")):
        def wrong():
            raise kind(f"of {rank}")

        try:
            ranks.from_first(wrong)
        except (kind, RuntimeError) as error:
            assert str(error) == shown
        else:
            raise AssertionError("no error")

    def downloaded():
        if (out / "data").exists():
            return "found"
        time.sleep(0.5)
        (out / "data").touch()
        return "downloaded"

    assert ranks.one_first(downloaded) == ("downloaded", "found")[rank]
    os.environ["LOCAL_RANK"] = "0"  # two machines that share a disk
    torch.distributed.barrier()
    if rank == 0:
        (out / "data").unlink()
    torch.distributed.barrier()
    assert ranks.one_first(downloaded) == ("downloaded", "found")[rank]

    def missing():
        raise ValueError(f"no data on {rank}")

    try:
        ranks.one_first(missing)
    except ValueError as error:
        assert str(error) == f"no data on {rank}"
    else:
        raise AssertionError("no error")

    log = MetricsLog(out, echo=False)
    log.update(4 * (rank + 1), loss=torch.tensor(float(rank)))  # 4 zeros, and 8 ones
    state = log.state_dict()
    assert state["counts"] == {"loss": 12} and state["sums"] == {"loss": 8.0}
    again = MetricsLog(out, echo=False)
    again.load_state_dict(state)
    for one in (log, again):
        assert abs(one.write(1, epoch=0)["loss"] - 8 / 12) < 1e-6

    validation = Validation(2)
    logits = torch.tensor([[1.0, 0.0]])
    validation.update(logits, torch.tensor([rank]), torch.tensor(float(rank)))
    scores = validation.compute()
    assert (scores.accuracy, scores.per_class, scores.images) == (0.5, [1.0, 0.0], [1, 1])
    assert scores.loss == 0.5

    assert not stop.requested()
    if rank == 1:
        signal.raise_signal(signal.SIGTERM)
    assert stop.requested() and stop.exit_code == 143
    (out / f"done{rank}").touch()
""",
    )
    assert (tmp_path / "done0").exists() and (tmp_path / "done1").exists()
    assert len(rows(tmp_path)) == 1


@pytest.mark.slow
def test_ranks_with_different_checkpoints_are_refused(tmp_path: Path) -> None:
    under_torchrun(
        tmp_path,
        """
from torch import nn
from fdsl.torch.training import Checkpoints, Ranks

with Ranks("cpu") as ranks:
    own = out / f"disk{ranks.rank}"  # as on machines without a shared one
    with Checkpoints(own, ranks.rank) as checkpoints:
        checkpoints.begin({}, weights=nn.Linear(3, 2))
        checkpoints.save(5)  # only rank 0 writes
    with Checkpoints(own, ranks.rank) as checkpoints:
        checkpoints.load("auto")
        try:
            checkpoints.begin({}, weights=nn.Linear(3, 2))
        except ValueError as error:
            assert "from different steps, 0 and 5" in str(error)
            (out / f"done{ranks.rank}").touch()
""",
    )
    assert (tmp_path / "done0").exists() and (tmp_path / "done1").exists()


@pytest.mark.slow
def test_ranks_train_the_model_that_one_process_trains(tmp_path: Path) -> None:
    step = """
import torch
from fdsl.torch.training import Ranks, build_model

def trained(network, model, images, labels):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

def plain():
    torch.manual_seed(0)  # no batch-norm, whose statistics are of a rank's own images
    layers = torch.nn.Flatten(), torch.nn.Linear(48, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4)
    return torch.nn.Sequential(*layers)

torch.manual_seed(1)
images, labels = torch.randn(8, 3, 4, 4), torch.arange(8) % 4
with Ranks("cpu") as ranks:
    own, one = plain(), plain()
    part = slice(4 * ranks.rank, 4 * ranks.rank + 4)
    found = trained(ranks.wrap(own), own, images[part], labels[part])
    torch.testing.assert_close(found, trained(one, one, images, labels))
    (out / f"done{ranks.rank}").touch()
"""
    under_torchrun(tmp_path, step)
    assert len([*tmp_path.glob("done*")]) == 2


@pytest.mark.slow
def test_three_ranks_resume_with_the_same_bits(tmp_path: Path) -> None:
    under_torchrun(
        tmp_path,
        """
import torch
from fdsl.torch.training import Ranks, build_model, make_deterministic

def train(ranks, state, steps):
    model = build_model("resnet10s", 10, seed=0)
    network = ranks.wrap(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    if state:
        model.load_state_dict(state[0])
        optimizer.load_state_dict(state[1])
    for step in steps:
        ranks.manual_seed(0, step)
        optimizer.zero_grad()
        network(torch.randn(4, 3, 32, 32)).square().sum().backward()
        optimizer.step()
    return model.state_dict(), optimizer.state_dict()

make_deterministic()
with Ranks("cpu") as ranks:
    whole = train(ranks, None, range(4))[0]
    parts = train(ranks, train(ranks, None, range(2)), range(2, 4))[0]
    differ = [name for name in whole if not torch.equal(whole[name], parts[name])]
    assert not differ, differ
    (out / f"done{ranks.rank}").touch()
""",
        ranks=3,
    )
    assert len([*tmp_path.glob("done*")]) == 3


def test_each_rank_has_random_numbers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, step in (("0", 1), ("1", 1), ("0", 2), ("0", 1)):
        monkeypatch.setenv("RANK", rank)
        Ranks("cpu").manual_seed(0, step)
        drawn.append(float(torch.rand(1)))
    assert len({*drawn}) == 3 and drawn[0] == drawn[3]
