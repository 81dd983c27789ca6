"""Checkpoints: whole files, locked folders, and runs that continue."""

import errno
import gc
import os
import re
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packages import TRAINING, need

need(*TRAINING)

import fdsl
import torch
from fdsl import _files
from fdsl._files import part_of
from fdsl.torch.training import (
    Checkpoints,
    MetricsLog,
    load_weights,
    read_checkpoint,
    save_weights,
    write_whole,
)
from torch import nn


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"
    write_whole(path, b"good")

    def crash(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"better")
    assert path.read_bytes() == b"good"


# On Windows, only administrators and developers may make links.
@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_a_link_that_someone_left_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "part").symlink_to("theirs")
    monkeypatch.setattr(_files, "part_of", lambda path: path.with_name("part"))
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "last.pt", b"ours")
    assert (tmp_path / "theirs").read_bytes() == b"theirs"
    monkeypatch.undo()
    assert part_of(tmp_path / "last.pt") != part_of(tmp_path / "last.pt")


def test_only_rank_0_locks_the_folder(tmp_path: Path) -> None:
    with Checkpoints(tmp_path):
        with pytest.raises(FileExistsError, match="another process is training"):
            Checkpoints(tmp_path).__enter__()
        with Checkpoints(tmp_path, rank=1):
            pass
    with Checkpoints(tmp_path):
        pass


# Windows locks files in another way, which every file system there has.
@pytest.mark.skipif(sys.platform == "win32", reason="needs flock")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP])
def test_a_file_system_without_locks_is_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    import fcntl

    def refuses(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuses)
    for step in (1, 2):
        checkpoints = Checkpoints(tmp_path)
        with pytest.warns(UserWarning, match=f"has no locks .{os.strerror(number)}.: nothing"):
            checkpoints.__enter__()
        checkpoints.load("auto")
        checkpoints.begin({}, weights=nn.Linear(2, 1))
        checkpoints.save(step)  # the first run is killed now
    assert read_checkpoint(tmp_path / "last.pt")["step"] == 2


def test_a_run_does_not_keep_what_it_was_resumed_from(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.begin({}, weights=nn.Linear(2, 1))
        checkpoints.save(1)
    with Checkpoints(tmp_path) as checkpoints:
        saved = checkpoints.load("auto")
        assert saved is not None
        left = weakref.ref(saved["weights"]["weight"])
        assert checkpoints.begin({}, weights=nn.Linear(2, 1)) == 1
        gc.collect()
        assert left() is None and saved["step"] == 1
        with pytest.raises(FileExistsError, match="already holds a run"):
            checkpoints.begin({}, weights=nn.Linear(2, 1))


def test_parts_are_restored_and_an_optimizer_keeps_its_new_settings(tmp_path: Path) -> None:
    def parts(decay: float) -> tuple[nn.Linear, torch.optim.SGD]:
        model = nn.Linear(3, 2)
        sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=decay)
        return model, sgd

    first, sgd = parts(0.1)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.load("auto") is None
        assert checkpoints.begin({"size": 3}, weights=first, optimizer=sgd) == 0
        first(torch.ones(1, 3)).sum().backward()
        sgd.step()
        checkpoints.save(1, "best.pt", note="kept")
    assert (tmp_path / "best.pt").read_bytes() == (tmp_path / "last.pt").read_bytes()
    second, other = parts(0.2)
    with Checkpoints(tmp_path) as checkpoints:
        saved = checkpoints.load(tmp_path / "best.pt", "note")
        assert saved is not None and saved["note"] == "kept"
        assert checkpoints.begin({"size": 3}, weights=second, optimizer=other) == 1
    assert torch.equal(first.weight, second.weight)
    assert other.param_groups[0]["weight_decay"] == 0.2
    momentum = other.state_dict()["state"][0]["momentum_buffer"]
    assert torch.equal(momentum, sgd.state_dict()["state"][0]["momentum_buffer"])


@pytest.mark.parametrize(
    "schedule",
    [
        lambda sgd: torch.optim.lr_scheduler.StepLR(sgd, 2),
        lambda sgd: torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 6),
        lambda sgd: torch.optim.lr_scheduler.OneCycleLR(sgd, 0.3, total_steps=7),
    ],
)
def test_a_resumed_scheduler_continues_its_learning_rates(schedule: Any, tmp_path: Path) -> None:
    def rates(folder: Path, stops: tuple[int, ...]) -> list[float]:
        found = []
        for stop in stops:
            model = nn.Linear(2, 1)
            sgd = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = schedule(sgd)
            with Checkpoints(folder) as checkpoints:
                checkpoints.load("auto")
                parts = {"weights": model, "scheduler": scheduler, "optimizer": sgd}
                for step in range(checkpoints.begin({}, **parts), stop):
                    found.append(sgd.param_groups[0]["lr"])
                    sgd.step()
                    scheduler.step()
                    checkpoints.save(step + 1)
        return found

    assert rates(tmp_path / "parts", (3, 4, 6)) == rates(tmp_path / "whole", (6,))


def test_an_optimizer_of_other_parameters_is_refused(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.begin({}, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
        checkpoints.save(1)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.load("auto")
        with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
            checkpoints.begin({}, optimizer=torch.optim.SGD([model.bias], lr=0.1))


@pytest.mark.parametrize(
    "key, value, says",
    [
        ("made", None, "must be a dict, got None"),
        ("step", None, "must be an integer, 0 or more, got None"),
        ("step", "abc", "must be an integer, 0 or more, got 'abc'"),
        ("step", -1, "must be an integer, 0 or more, got -1"),
        ("history", [{}], "must be a list of settings, got [{}]"),
        ("history", 5, "must be a list of settings, got 5"),
        ("weights", {"bias": torch.ones(2)}, "cannot be restored: Error(s) in loading state_dict"),
        ("weights", {"weight": torch.ones(2, 3), "bias": torch.ones(3)}, "size mismatch for bias"),
        ("weights", [1], "cannot be restored: "),
        ("weights", {"bias": torch.ones(2).char()}, "bias must be finite floating-point numbers"),
        ("weights", {"bias": torch.tensor([1, torch.nan])}, "got torch.float32 with infinity or N"),
        ("optimizer", {"state": {}}, "cannot be restored: there is no 'param_groups'"),
        ("log", {}, "cannot be restored: there is no 'rows'"),
    ],
)
def test_a_checkpoint_with_a_wrong_part_is_one_sentence(
    tmp_path: Path, key: str, value: Any, says: str
) -> None:
    model, log = nn.Linear(3, 2), MetricsLog(tmp_path)
    parts = {"weights": model, "optimizer": torch.optim.SGD(model.parameters()), "log": log}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.begin({}, {}, **parts)
        checkpoints.save(1)
    last = tmp_path / "last.pt"
    torch.save({**read_checkpoint(last), key: value}, last)
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(ValueError) as error:
        checkpoints.load("auto")
        checkpoints.begin({}, {}, **parts)
    said = str(error.value)
    assert said.startswith(f"cannot resume: {key!r} of {last} ") and says in said
    assert len(said.splitlines()) == 1


def test_a_checkpoint_beyond_the_end_of_the_run_is_refused(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.epochs(checkpoints.begin({}), 2, 3) == range(3)
        checkpoints.save(4)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.load("auto")
        step = checkpoints.begin({})
        assert checkpoints.epochs(step, 2, 3) == range(2, 3)
        assert not checkpoints.epochs(step, 2, 2)  # it has finished
        says = f"the checkpoint {tmp_path / 'last.pt'} is at step 4, but the run ends at step 2: "
        with pytest.raises(ValueError, match=re.escape(says)):
            checkpoints.epochs(step, 2, 1)


def test_a_run_that_was_not_loaded_is_not_overwritten(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.begin({}, weights=nn.Linear(3, 2))
        checkpoints.save(1)
    before = (tmp_path / "last.pt").read_bytes()
    already = pytest.raises(FileExistsError, match="already holds a run")
    with Checkpoints(tmp_path) as checkpoints, already:
        checkpoints.begin({}, weights=nn.Linear(3, 2))
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_run_with_other_settings_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.begin({"size": 3}, weights=nn.Linear(3, 2))
        checkpoints.save(1)
    left = part_of(tmp_path / "best.pt")
    left.touch()
    (tmp_path / "download.part").touch()  # not ours
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(FileExistsError, match="already holds a run"):
            checkpoints.load(None)
        with pytest.raises(ValueError, match="has no 'labels'; it is of another script or version"):
            checkpoints.load("auto", "labels")
        checkpoints.load("auto")
        with pytest.raises(ValueError, match="the checkpoint's size is 3, yours 4"):
            checkpoints.begin({"size": 4}, weights=nn.Linear(4, 2))
        with pytest.raises(ValueError, match="the checkpoint has no 'log'"):
            checkpoints.begin({"size": 3}, log=MetricsLog(tmp_path))
        assert left.exists()
        checkpoints.begin({"size": 3}, weights=nn.Linear(3, 2))
        assert not left.exists() and (tmp_path / "download.part").exists()


def test_the_settings_of_each_part_of_a_run_are_kept(tmp_path: Path) -> None:
    for step, settings in enumerate(({"lr": 0.1}, {"lr": 0.1}, {"lr": 0.3, "out": tmp_path})):
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.load("auto")
            checkpoints.begin({}, settings, weights=nn.Linear(3, 2))
            checkpoints.save(step + 1)
    last = {"first_step": 2, "settings": {"lr": 0.3, "out": str(tmp_path)}}
    assert checkpoints.history == [{"first_step": 0, "settings": {"lr": 0.1}}, last]


def test_the_checkpoint_to_resume_from_is_written_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the two files must not lose what the first one held."""
    from fdsl.torch.training import checkpoints as module

    whole, written = module.writing_whole, []

    def crashes_second(path: Path) -> Any:
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt
        return whole(path)

    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.begin({}, weights=nn.Linear(2, 1))
        checkpoints.save(1, "best.pt")
        monkeypatch.setattr(module, "writing_whole", crashes_second)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(2, "best.pt")
    steps = [read_checkpoint(tmp_path / name)["step"] for name in ("best.pt", "last.pt")]
    assert steps == [2, 1]


def test_what_a_killed_run_was_writing_is_removed(tmp_path: Path) -> None:
    part_of(tmp_path / "last.pt").touch()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.begin({}, weights=nn.Linear(2, 1))
    assert [file.name for file in tmp_path.iterdir()] == [".lock"]


def test_a_checkpoint_that_could_not_be_read_is_never_written(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1)
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(TypeError, match="'data' is or has something else"):
            checkpoints.begin({"batch_size": 8, "data": tmp_path}, weights=model)
        with pytest.raises(ValueError, match="already has a 'step'"):
            checkpoints.begin({}, step=model)
        checkpoints.begin({"batch_size": 8, "mean": [0.5]}, weights=model)
        for name in ("weights", "history"):
            with pytest.raises(ValueError, match=f"already has a '{name}'"):
                checkpoints.save(3, **{name: 1})
        with pytest.raises(TypeError, match="'best' is or has something else"):
            checkpoints.save(3, best={"accuracy": np.float64(0.5)})
        assert [file.name for file in tmp_path.iterdir()] == [".lock"]
        checkpoints.save(3, best={"accuracy": 0.5})
    with Checkpoints(tmp_path) as checkpoints:
        saved = checkpoints.load("auto", "best")
        assert saved is not None and saved["best"] == {"accuracy": 0.5}


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    model[1].weight = model[0].weight
    about: Any = {"name": "n.py:tied", "family": fdsl.Perlin(4), "rendering": fdsl.Frame(size=32)}
    save_weights(tmp_path, model, mean=0.2, std=0.5, **about)
    state, _ = load_weights(tmp_path / "weights.safetensors")
    assert state.keys() == model.state_dict().keys()
    assert torch.equal(state["1.weight"], model[0].weight)


def test_weights_that_are_not_finite_never_replace_a_checkpoint(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.begin({}, weights=model)
        checkpoints.save(1)
        with torch.no_grad():
            model.bias[0] = torch.inf
        with pytest.raises(FloatingPointError, match="the weights are not finite at step 2"):
            checkpoints.save(2)
    assert read_checkpoint(tmp_path / "last.pt")["step"] == 1
