"""The parts of a training script: stops, checkpoints, metrics, weights, scores."""

import argparse
import csv
import dataclasses
import datetime
import errno
import gc
import gzip
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tracemalloc
import weakref
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import started

torch = pytest.importorskip("torch")
for _package in ("torchvision", "safetensors", "sklearn", "torchmetrics", "filelock", "tyro"):
    pytest.importorskip(_package)

import fdsl
from fdsl import _files
from fdsl._files import part_of
from fdsl.torch import Normalize
from fdsl.torch.training import (
    Augmentation,
    Checkpoints,
    Erasing,
    GracefulStop,
    LabeledImages,
    MetricsLog,
    Ranks,
    Validation,
    build_model,
    choose_labels,
    decay_groups,
    last_layer,
    linear_probe,
    load_pretrained,
    load_weights,
    mixing,
    read_checkpoint,
    read_idx,
    run_script,
    save_weights,
    write_whole,
)
from fdsl.torch.training.probe import features_of
from PIL import Image
from torch import nn

#: Two black images.
EMPTY = np.zeros((2, 8, 8), np.uint8)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# Ranks


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


#: Output that cannot be written. The full disk is a device that only Linux has.
UNWRITABLE = [">&-", "2>&-", ">&- 2>&- <&-", "| head -1"]
UNWRITABLE += [">/dev/full"] if Path("/dev/full").exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("output", UNWRITABLE)
def test_a_run_whose_log_cannot_be_written_goes_on(tmp_path: Path, output: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from fdsl.torch.training import MetricsLog, run_script\n"
        "def train(text: str) -> int:\n"
        "    log = MetricsLog(Path(__file__).parent)\n"
        "    for step in range(1, 2000):\n"
        "        log.update(1, loss=torch.tensor(1.0))\n"
        "        if step in (1, 2, 1999): log.write(step)\n"
        "    print(text)\n"
        "    (log.folder / 'done').touch()\n"
        "    return 0\n"
        "sys.exit(run_script(train, lambda code: code))\n"
    )
    code = tmp_path / "code"
    command = shlex.join([sys.executable, str(script), "--text", "ends"])
    command += f"; echo $? > {shlex.quote(str(code))}"
    subprocess.run(["sh", "-c", f"({command}) {output}"], check=True, timeout=100)
    assert (tmp_path / "done").exists() and code.read_text() == "0\n"
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("package", "use", "sentence"),
    [
        ("torchvision", lambda _: build_model("resnet18", 2), "the model resnet18 needs torchvis"),
        ("torchvision", lambda _: build_model("vit6s", 2, input_size=32), "the model vit6s needs "),
        ("torchvision", lambda _: Augmentation(8), "Augmentation needs torchvision"),
        ("torchvision", lambda _: Erasing(0.5), "Erasing needs torchvision"),
        ("torchvision", lambda _: mixing(2, mixup=1.0), "mixing needs torchvision"),
        ("sklearn", lambda _: linear_probe(nn.Linear(2, 2), list, list), "install scikit-learn"),
        ("torchmetrics", lambda _: Validation(2, multilabel=True), "average precision needs"),
        ("filelock", lambda folder: Checkpoints(folder).__enter__(), "Checkpoints needs filelock"),
        ("tensorboard", lambda folder: MetricsLog(folder, tensorboard=True), "True needs tensorb"),
        ("matplotlib", lambda folder: MetricsLog(folder).plot(), "plot needs matplotlib"),
    ],
)
def test_a_missing_package_is_named_with_what_needs_it(
    tmp_path: Path, monkeypatch: Any, package: str, use: Any, sentence: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=sentence):
        use(tmp_path)


@pytest.mark.parametrize("package", ["tyro", "filelock", "matplotlib", "safetensors"])
def test_a_script_ends_at_once_where_a_package_is_missing(
    package: str, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def settings(text: str) -> str:
        return text

    def train(text: str) -> int:
        raise AssertionError("it began")

    monkeypatch.setitem(sys.modules, package, None)
    assert run_script(settings, train, ["--text", "a"]) == 2
    assert f"needs {package}: pip install {package}" in capsys.readouterr().err


def test_a_log_that_is_no_file_may_fail_too(tmp_path: Path, monkeypatch: Any) -> None:
    class Full(io.TextIOBase):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    log = MetricsLog(tmp_path, echo=True)
    monkeypatch.setattr(sys, "stdout", Full())
    for step in (1, 2):
        log.write(step)
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3


def under_torchrun(folder: Path, script: str, ranks: int = 2) -> None:
    """Runs a script on several ranks; `out` is its folder."""
    file = folder / "script.py"
    file.write_text("import sys\nfrom pathlib import Path\nout = Path(sys.argv[1])\n" + script)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(ranks), str(file), str(folder)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with started(command, env=env, **pipes) as process:
        try:
            _, errors = process.communicate(timeout=200)
        finally:
            process.terminate()  # torchrun's processes are in groups of their own
            process.wait(30)
    assert process.returncode == 0, errors


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


# Stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_requests_a_stop_and_interrupts_nothing(number: signal.Signals) -> None:
    before = signal.signal(number, signal.default_int_handler)
    try:
        with GracefulStop() as stop:
            assert not stop.requested()
            signal.raise_signal(number)
            assert stop.requested() and stop.requested()
            assert stop.exit_code == 128 + number
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_was_ignored_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with GracefulStop() as stop:
            assert signal.getsignal(number) is signal.SIG_IGN
            signal.raise_signal(number)
            assert not stop.requested()
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_handler_that_python_did_not_set_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Any] = {signal.SIGINT: None, signal.SIGTERM: signal.SIG_DFL}

    def set_handler(number: int, handler: Any) -> Any:
        if handler is None:
            raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable")
        before, handlers[number] = handlers[number], handler
        return before

    with monkeypatch.context() as patch:  # undone before pytest-timeout takes its own one down
        patch.setattr(signal, "signal", set_handler)
        patch.setattr(signal, "getsignal", handlers.get)
        with GracefulStop():
            assert callable(handlers[signal.SIGTERM])
    assert handlers == {signal.SIGINT: None, signal.SIGTERM: signal.SIG_DFL}


def test_limits_request_a_stop_that_is_a_success() -> None:
    with GracefulStop(max_steps=3) as stop:
        assert [stop.requested(step) for step in (0, 2, 3, 4)] == [False, False, True, True]
    with GracefulStop(max_minutes=0.0) as late:
        assert late.requested()
    assert stop.exit_code == late.exit_code == 0


# Windows, which cannot fork, ends a process without running its handler of SIGTERM.
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_daemon_may_end_in_its_own_way_at_exit(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """
import multiprocessing, pathlib, signal, sys, time
import fdsl.torch.training

def daemon(ready):
    def save(*_):
        time.sleep(1.5)
        pathlib.Path(sys.argv[1]).write_text("saved")
        sys.exit()
    signal.signal(signal.SIGTERM, save)
    ready.set()
    time.sleep(60)

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    context.Process(target=daemon, args=(ready,), daemon=True).start()
    ready.wait()
"""
    )
    subprocess.run([sys.executable, script, tmp_path / "file"], check=True, timeout=60)
    assert (tmp_path / "file").read_text() == "saved"


@pytest.mark.slow
def test_an_unforeseen_error_does_not_wait_for_workers_that_ignore_signals(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """
from fdsl.torch.training import ignore_signals
from torch.utils.data import DataLoader

kept = {"num_workers": 1, "persistent_workers": True}
feed = iter(DataLoader(range(99), worker_init_fn=ignore_signals, **kept))
next(feed)
raise RuntimeError("out of memory")
"""
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "RuntimeError: out of memory" in done.stderr


# Checkpoints


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


def test_the_rows_of_a_checkpoint_are_those_of_now(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, echo=False)
    for step in (1, 1, 2, 3, 3, 3, 4):  # a second call adds to the row
        log.write(step, **{f"value_{step}": step, "calls": len(log.rows)})
        assert log.state_dict()["rows"] == json.dumps(log.rows)
    earlier = log.state_dict()
    log.write(5, calls=9)
    log.load_state_dict(earlier)
    log.write(4, calls=7)
    assert log.state_dict()["rows"] == json.dumps(log.rows) and len(log.rows) == 4


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


def test_the_loss_of_a_validation_is_the_mean_over_images() -> None:
    scores = Validation(2)
    scores.update(torch.eye(2)[[0, 0, 0]], torch.tensor([0, 0, 0]), torch.tensor(1.0))
    scores.update(torch.eye(2)[[0]], torch.tensor([0]), torch.tensor(5.0))
    assert scores.compute().loss == 2.0


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


# Metrics


def test_a_row_holds_averages_over_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = MetricsLog(tmp_path, echo=True)
    for _ in log.watch(range(2)):
        pass
    log.update(3, loss=torch.tensor(1.0), accuracy=torch.tensor(0.0))
    log.update(1, loss=torch.tensor(5.0), accuracy=torch.tensor(1.0))
    row = log.write(2, epoch=0, lr=0.1)
    assert (row["loss"], row["accuracy"]) == (2.0, 0.25)
    assert row["images_per_second"] > 0 and 0 <= row["data_wait"] <= 1
    log.write(2, val_loss=0.5)
    log.update(1, loss=torch.tensor(7.0), accuracy=torch.tensor(0.0))
    log.write(3, epoch=0, lr=0.1)
    first, second = rows(tmp_path)
    assert (first["step"], first["loss"], first["val_loss"]) == ("2", "2", "0.5")
    assert (second["step"], second["loss"], second["val_loss"]) == ("3", "7", "")
    assert "step 2 epoch 0 lr 0.1 loss 2 accuracy 0.25" in capsys.readouterr().out
    log.plot()
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_a_step_may_log_its_metrics_in_several_calls(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, echo=False)
    for step in range(4):
        log.update(8, loss=1.0)
        log.update(8, accuracy=torch.tensor(0.5))
        if step == 2:
            log.update(8, norm=torch.tensor(3.0))
    again = MetricsLog(tmp_path, echo=False)
    again.load_state_dict(log.state_dict())
    for one in (log, again):
        row = one.write(4)
        assert [row[name] for name in ("loss", "accuracy", "norm")] == [1.0, 0.5, 3.0]
    old = {"rows": [], "count": 16, "sums": {"loss": 8.0}}  # as saved by earlier versions
    log.load_state_dict(old)
    assert log.write(5)["loss"] == 0.5


def test_a_resumed_log_ends_with_the_same_rows(tmp_path: Path) -> None:
    def step(log: MetricsLog, number: int) -> None:
        log.update(number, loss=torch.tensor(number / 7))
        if number % 3 == 0:
            log.write(number)

    whole, parts = MetricsLog(tmp_path / "whole"), MetricsLog(tmp_path / "parts")
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    for number in range(1, 8):
        step(whole, number)
    for number in range(1, 5):
        step(parts, number)
    state = parts.state_dict()
    for number in range(5, 8):
        step(parts, number)  # rows that come after the checkpoint
    again = MetricsLog(tmp_path / "parts")
    again.load_state_dict(state)
    for number in range(5, 8):
        step(again, number)
    losses = [[(row["step"], row["loss"]) for row in log.rows] for log in (whole, again)]
    assert losses[0] == losses[1] and [number for number, _ in losses[0]] == [3, 6]
    assert [row["step"] for row in rows(tmp_path / "parts")] == ["3", "6"]


def test_a_row_is_appended_unless_the_rows_before_it_change(tmp_path: Path) -> None:
    log, file = MetricsLog(tmp_path, echo=False), tmp_path / "metrics.csv"
    for step in (1, 2):
        log.write(np.int64(step), lr=0.5)
        number = file.stat().st_ino
    log.write(3, lr=np.float32(0.25))
    assert file.stat().st_ino == number and file.read_text() == "step,lr\n1,0.5\n2,0.5\n3,0.25\n"
    log.write(3, lr=0.125)  # another value
    log.write(4, epoch=np.int64(1))  # a new column
    assert file.read_text() == "step,lr,epoch\n1,0.5,\n2,0.5,\n3,0.125,\n4,,1\n"
    file.write_text(file.read_text().swapcase())  # someone else's doing
    log.write(5, epoch=1)
    assert file.read_text() == "step,lr,epoch\n1,0.5,\n2,0.5,\n3,0.125,\n4,,1\n5,,1\n"


# The limit on the size of files stands for a full disk; Windows has none, and no module `resource`.
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_row_that_does_not_fit_on_the_disk_leaves_none_half_written(tmp_path: Path) -> None:
    import resource

    log, file = MetricsLog(tmp_path, echo=False), tmp_path / "metrics.csv"
    log.write(1, lr=0.5)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 3, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write: .*metrics\.csv"):
            log.write(2, lr=0.5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert file.read_text() == "step,lr\n1,0.5\n"
    log.write(3, lr=0.5)
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "3"]


def test_a_log_of_an_earlier_version_is_resumed(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, echo=False)
    log.load_state_dict({"rows": [{"step": 1, "lr": 0.5}], "counts": {}, "sums": {}})
    log.write(2, lr=0.5)
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2"]


def test_an_average_that_is_no_number_is_an_error_and_no_row(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.update(1, loss=torch.tensor(float("nan")))
    with pytest.raises(FloatingPointError, match="the loss is nan at step 4"):
        log.write(4)
    assert not (tmp_path / "metrics.csv").exists()


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = MetricsLog(tmp_path, tensorboard=True)
    for step in (1, 2):
        log.update(1, loss=torch.tensor(float(step)))
        log.write(step)
    resumed = MetricsLog(tmp_path, tensorboard=True)
    resumed.load_state_dict({"rows": log.rows[:1], "count": 0, "sums": {}})
    resumed.update(1, loss=torch.tensor(9.0))
    resumed.write(2)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 9.0)]


# Weights


def saved(folder: Path, name: str, num_classes: int, size: int, **more: Any) -> nn.Module:
    """Writes the weights of a new network, and returns it."""
    folder.mkdir(exist_ok=True)
    family = fdsl.Bezier(num_classes)
    rendering = fdsl.Strokes(size=size)
    model = build_model(name, num_classes, seed=1, input_size=size)
    save_weights(
        folder, model, name=name, family=family, rendering=rendering, mean=0.2, std=0.5, **more
    )
    return model.eval()


def test_weights_come_with_what_reproduces_them(tmp_path: Path) -> None:
    model = saved(tmp_path, "resnet18", 4, 64, samples_seen=640)
    about = json.loads((tmp_path / "weights.json").read_text())
    assert about["model"] == "resnet18" and about["num_classes"] == 4
    assert about["categories"] == fdsl.Bezier(4).digest() and about["samples_seen"] == 640
    assert fdsl.Strokes.from_dict(about["rendering"]) == fdsl.Strokes(size=64)
    assert about["normalize"] == {"mean": 0.2, "std": 0.5}
    from safetensors import safe_open

    with safe_open(tmp_path / "weights.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["about"]) == about
    tensors, name = load_weights(tmp_path / "weights.safetensors")
    assert name == "resnet18" and tensors.keys() == model.state_dict().keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, size", [("resnet18", 64), ("timm:vit_tiny_patch16_224", 224), ("timm:resnet10t", 64)]
)
def test_timm_loads_the_weights_in_one_line(tmp_path: Path, name: str, size: int) -> None:
    timm = pytest.importorskip("timm")
    out = tmp_path / "out"
    model = saved(out, name, 4, size)
    images = torch.rand(2, 3, size, size)
    expected = model(images)
    local = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    torch.testing.assert_close(local(images), expected)
    overlay = {"file": str(out / "weights.safetensors"), "num_classes": 4}
    named = timm.create_model(
        name.removeprefix("timm:"), pretrained=True, pretrained_cfg_overlay=overlay
    ).eval()
    torch.testing.assert_close(named(images), expected)
    # With other classes the last layer is new, and the rest as it was trained.
    tuned = timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=7).eval()
    assert tuned(images).shape == (2, 7)
    torch.testing.assert_close(tuned.forward_features(images), local.forward_features(images))
    config = timm.data.resolve_data_config({}, model=local)
    assert [*config["mean"]] == [0.2] * 3 and [*config["std"]] == [0.5] * 3
    assert [*config["input_size"]] == [3, size, size]


def test_a_config_has_three_means(tmp_path: Path) -> None:
    mean = (0.485, 0.456, 0.406)
    family, rendering = fdsl.fractaldb(4), fdsl.Rendering(size=32, num_points=100)
    about = {"name": "resnet18", "family": family, "rendering": rendering}
    save_weights(tmp_path, build_model("resnet18", 4), mean=mean, std=0.5, **about)
    config = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    assert (config["mean"], config["std"]) == ([*mean], [0.5] * 3)


def test_a_config_has_height_and_width(tmp_path: Path) -> None:
    family, rendering = fdsl.Perlin(4), fdsl.Frame(size=(32, 64))
    about = {"name": "resnet18", "family": family, "rendering": rendering}
    save_weights(tmp_path, build_model("resnet18", 4), mean=0.2, std=0.5, **about)
    config = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    assert config["input_size"] == [3, 32, 64]


def test_features_record_no_gradients() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.ReLU(), nn.Linear(3, 2))
    features, labels = features_of(model, [(torch.ones(5, 3, 2, 2), torch.arange(5))])
    assert features.shape == (5, 3) and not features.requires_grad and len(labels) == 5


def test_normalize_shows_its_arguments() -> None:
    assert repr(Normalize(0.1, (0.2, 0.3, 0.4))) == "Normalize(mean=0.1, std=(0.2, 0.3, 0.4))"


def test_timm_loads_a_transformer_of_another_input_size(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    model = saved(tmp_path, "timm:vit_tiny_patch16_224", 4, 32)
    images = torch.rand(2, 3, 32, 32)
    local = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    torch.testing.assert_close(local(images), model(images))


def test_only_networks_that_timm_can_load_get_a_config(tmp_path: Path) -> None:
    saved(tmp_path, "resnet10s", 4, 32)
    assert not (tmp_path / "config.json").exists()


def test_an_unknown_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="resnet19"):
        build_model("resnet19", 3)
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match="timm has no model 'resnet19'"):
        build_model("timm:resnet19", 3)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModuleNotFoundError, match="the model timm:resnet18 needs timm: pip"):
        build_model("timm:resnet18", 3)


def test_a_network_to_fine_tune_has_a_new_last_layer_alone(tmp_path: Path) -> None:
    model = saved(tmp_path, "resnet18", 4, 64)
    file = tmp_path / "weights.safetensors"
    tuned, name = load_pretrained(file, 7, seed=3)
    assert name == "resnet18" and last_layer(tuned) == "fc"
    theirs = model.state_dict()
    for key, value in tuned.state_dict().items():
        assert key.startswith("fc.") or torch.equal(value, theirs[key])
    fresh = build_model("resnet18", 7, seed=3)
    assert torch.equal(tuned.fc.weight, fresh.fc.weight)
    with pytest.raises(ValueError, match="holds a resnet18, not a resnet34"):
        load_pretrained(file, 7, name="resnet34")
    torch.save(theirs, tmp_path / "plain.pth")
    with pytest.raises(ValueError, match=r"plain\.pth does not hold a resnet34"):
        load_pretrained(tmp_path / "plain.pth", 7, name="resnet34")
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load_weights(file)


@pytest.mark.parametrize(
    "wrong, found",
    [
        (lambda weight: weight.to(torch.int8), "torch.int8"),
        (lambda weight: weight.bool(), "torch.bool"),
        (lambda weight: weight.long(), "torch.int64"),
        (lambda weight: weight.to(torch.complex64), "torch.complex64"),
        (lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), "torch.qint8"),
        (lambda weight: weight * torch.nan, "torch.float32 with infinity or NaN"),
        (lambda weight: weight.double() + 1e300, "torch.float64 with infinity or NaN"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # quantization
def test_weights_that_are_no_finite_numbers_are_refused(
    tmp_path: Path, wrong: Any, found: str
) -> None:
    file = tmp_path / "theirs.pth"
    state = build_model("resnet10s", 3, seed=0).state_dict()
    torch.save({**state, "conv1.weight": wrong(state["conv1.weight"])}, file)
    says = f"cannot read {file}: conv1.weight must be finite floating-point numbers, got {found}"
    with pytest.raises(ValueError, match=re.escape(says)):
        load_pretrained(file, 5, name="resnet10s")


def test_a_buffer_of_infinity_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "masked.py").write_text(
        "import torch\n"
        "def net(num_classes):\n"
        "    body = torch.nn.Linear(3, 3)\n"
        "    body.register_buffer('causal', torch.full((3, 3), -torch.inf).triu(1))\n"
        "    pool = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()\n"
        "    return torch.nn.Sequential(*pool, body, torch.nn.Linear(3, num_classes))\n",
        encoding="utf-8",
    )
    name = f"{tmp_path / 'masked.py'}:net"
    torch.save(build_model(name, 2, seed=0).state_dict(), tmp_path / "theirs.pth")
    loaded, _ = load_pretrained(tmp_path / "theirs.pth", 5, name=name)
    assert loaded.get_submodule("2").causal.isinf().sum() == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_loaded(tmp_path: Path, dtype: torch.dtype) -> None:
    model = build_model("resnet10s", 3, seed=0).to(dtype)
    model.bn1.num_batches_tracked += 7
    torch.save(model.state_dict(), tmp_path / "theirs.pth")
    loaded, _ = load_pretrained(tmp_path / "theirs.pth", 5, name="resnet10s")
    assert torch.equal(loaded.conv1.weight, model.conv1.weight.float())
    assert loaded.bn1.num_batches_tracked == 7


# Fine-tuning and judging


def test_accuracy_is_of_all_images_and_of_each_class(tmp_path: Path) -> None:
    validation = Validation(3)
    logits = torch.eye(3)[[0, 0, 1, 0]]
    validation.update(logits, torch.tensor([0, 0, 1, 1]), torch.tensor(2.0))
    scores = validation.compute()
    assert (scores.measure, scores.accuracy, scores.loss) == ("accuracy", 0.75, 2.0)
    assert scores.per_class == [1.0, 0.5, 0.0] and scores.images == [2, 2, 0]
    scores.write_csv(tmp_path / "classes.csv", ["cat", "dog", "fish"])
    lines = (tmp_path / "classes.csv").read_text().splitlines()
    assert lines == ["class,accuracy,images", "cat,1.0000,2", "dog,0.5000,2", "fish,,0"]


def test_average_precision_leaves_out_what_does_not_count() -> None:
    # The first class: right, wrong, right in the order of the answers: (1 + 2/3) / 2.
    logits = torch.tensor([[3.0, 0, 0], [2, 1, 0], [1, 2, 0]])
    labels = torch.tensor([[1, 0, 0], [0, 1, 0], [1, -1, 0]])
    validation = Validation(3, multilabel=True)
    validation.update(logits, labels, torch.tensor(0.0))
    scores = validation.compute()
    assert scores.measure == "mAP" and scores.images == [2, 1, 0]
    assert scores.per_class[:2] == pytest.approx([5 / 6, 1.0])
    assert scores.accuracy == pytest.approx((5 / 6 + 1) / 2)  # no image shows the third class


def test_average_precision_does_not_depend_on_the_batches() -> None:
    # Some batches have all logits between 0 and 1, which could be probabilities; and the sigmoid of
    # the largest two is 1.
    logits = torch.tensor([[0.9], [-1.0], [0.6], [50.0], [45.0]])
    labels = torch.tensor([[0], [0], [1], [0], [1]])
    found = []
    for size in (1, 2, 5):
        validation = Validation(1, multilabel=True)
        for batch in zip(logits.split(size), labels.split(size), strict=True):
            validation.update(*batch)
        found.append(validation.compute().accuracy)
    assert found == pytest.approx([(1 / 2 + 2 / 4) / 2] * 3)


def test_weights_for_another_size_are_one_sentence(tmp_path: Path) -> None:
    saved(tmp_path, "vit6s", 4, 32)
    says = "does not hold a vit6s for images of 64: encoder.pos_embedding has the shape"
    with pytest.raises(ValueError, match=says):
        load_pretrained(tmp_path / "weights.safetensors", 3, input_size=64)


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_an_image_of_sixteen_bits_keeps_its_upper_eight(tmp_path: Path, mode: str) -> None:
    shades = np.arange(0, 2**16, 256, dtype=np.uint16).reshape(16, 16) + 3
    stored = shades if mode == "I;16" else shades.astype(np.int32)
    Image.fromarray(stored).save(tmp_path / "one.tif")
    assert Image.open(tmp_path / "one.tif").mode == mode
    decoded, _ = LabeledImages([tmp_path / "one.tif"], [0], ["chest"], 16)[0]
    np.testing.assert_array_equal(decoded, np.broadcast_to(shades >> 8, (3, 16, 16)))
    Image.fromarray(np.int32([[255, 0], [7, 9]])).save(tmp_path / "few.tif")  # 8 bits in 32
    few, _ = LabeledImages([tmp_path / "few.tif"], [0], ["chest"], 2)[0]
    assert few[0].tolist() == [[255, 0], [7, 9]]


@pytest.mark.parametrize(
    "pixels, found",
    [
        (np.float32([[0, 0.5]]), "0.0 to 0.5 in Pillow's mode F"),
        (np.int32([[7, 65536]]), "7 to 65536 in Pillow's mode I"),
        (np.int32([[-1, 7]]), "-1 to 7 in Pillow's mode I"),
    ],
)
def test_an_image_of_other_numbers_is_refused(tmp_path: Path, pixels: Any, found: str) -> None:
    file = tmp_path / "one.tif"
    Image.fromarray(pixels).save(file)
    says = f"{file} must hold integers between 0 and 65535, got {found}"
    with pytest.raises(ValueError, match=re.escape(says)):
        LabeledImages([file], [0], ["chest"], 16)[0]


def test_images_kept_in_memory_are_those_decoded_from_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{i}.png" for i in range(5)]
    arrays = [rng.integers(0, 256, (20, 24, 3), dtype=np.uint8) for _ in files]
    for file, pixels in zip(files, arrays, strict=True):
        Image.fromarray(pixels).save(file)
    labels, classes = [0, 1, 2, 1, 0], ["a", "b", "c"]
    disk = LabeledImages(files, labels, classes, 16, cache_bytes=0)
    kept = LabeledImages(files, labels, classes, 16)
    memory = LabeledImages(arrays, labels, classes, 16)
    assert kept.cached and not disk.cached
    assert not any(part.cached for part in disk.held_out(0.4)) and not disk.only(["b", "c"]).cached
    parts = [np.array([4, 0]), np.array([2])]
    expected = [(x, y) for x, y in disk.batches(parts, num_workers=1)]
    assert [tuple(x.shape) for x, _ in expected] == [(2, 3, 16, 16), (1, 3, 16, 16)]
    assert [y.tolist() for _, y in expected] == [[0, 0], [2]]
    for images in (kept, memory):
        for mine, theirs in zip(images.batches(parts), expected, strict=True):
            assert torch.equal(mine[0], theirs[0]) and torch.equal(mine[1], theirs[1])
    for file in files:
        file.unlink()
    assert torch.equal(kept[4][0], expected[0][0][0])  # decoded once
    with pytest.raises(FileNotFoundError):
        disk[4]


def test_some_classes_may_be_chosen() -> None:
    arrays = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    images = LabeledImages(arrays, [2, 0, 1, 2], ["ant", "bee", "cat"], 8)
    some = images.only(["cat", "ant"])
    assert some.classes == ["ant", "cat"] and some.labels.tolist() == [1, 0, 1]
    assert [int(some[i][0].max()) for i in range(3)] == [0, 1, 3]
    with pytest.raises(ValueError, match="there is no class 'dog'; there are ant, bee, cat, …"):
        images.only(["ant", "dog"])
    with pytest.raises(ValueError, match="must name two or more"):
        images.only(["ant"])


def test_images_held_out_are_not_trained_on() -> None:
    numbers = np.arange(40, dtype=np.uint8)
    source = np.broadcast_to(numbers[:, None, None], (40, 8, 8))
    images = LabeledImages(source, numbers % 2, ["even", "odd"], 8)
    parts = images.held_out(0.25, seed=3)
    assert [len(part) for part in parts] == [30, 10]
    shown = [{int(image[0, 0, 0]) for image, _ in part} for part in parts]
    assert shown[0] | shown[1] == {*range(40)}
    for part in parts:
        assert all(int(image[0, 0, 0]) % 2 == int(label) for image, label in part)
    again, other = images.held_out(0.25, seed=3)[1], images.held_out(0.25, seed=4)[1]
    assert [*again.labels] == [*parts[1].labels]
    assert {int(image[0, 0, 0]) for image, _ in other} != shown[1]
    with pytest.raises(ValueError, match=r"a share of 0\.01 of 40 images leaves one part empty"):
        images.held_out(0.01)


def test_fewer_labels_are_a_part_of_more() -> None:
    labels = np.repeat(np.arange(3), 20)
    few = choose_labels(labels, per_class=2, seed=5)
    more = choose_labels(labels, share=0.5, seed=5)
    assert np.bincount(labels[few]).tolist() == [2, 2, 2] and len(more) == 30
    assert {*few} < {*more}
    assert choose_labels(labels, per_class=2, seed=6).tolist() != few.tolist()
    rare = np.repeat(np.arange(3), (20, 4, 1))
    assert np.bincount(rare[choose_labels(rare, share=0.05)]).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="21 images per class: class 0 has only 20"):
        choose_labels(labels, per_class=21)
    with pytest.raises(ValueError, match=r"share must be above 0 and at most 1, got 1\.5"):
        choose_labels(labels, share=1.5)
    several = np.zeros((10, 4), dtype=np.int64)
    assert len(choose_labels(several, share=0.3)) == 3
    with pytest.raises(ValueError, match="needs one label per image"):
        choose_labels(several, per_class=1)


@pytest.mark.parametrize("order", ["sorted", "mixed"])
def test_a_linear_probe_changes_no_parameter(order: str) -> None:
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(np.repeat([0, 1], 300))
    shuffled = torch.from_numpy(np.arange(600) if order == "sorted" else rng.permutation(600))
    bright = torch.where(labels == 0, 60, 190).to(torch.uint8)
    images = bright[:, None, None, None].expand(600, 1, 8, 8).clone()
    images += torch.from_numpy(rng.integers(0, 60, images.shape, dtype=np.uint8))
    images, labels = images[shuffled], labels[shuffled]
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 9),
    )  # fmt: skip
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    normalize = Normalize(mean=0.5, std=0.5)
    mixed = torch.from_numpy(rng.permutation(600))

    def train() -> Any:
        return [(normalize(images[part]), labels[part]) for part in mixed.split(250)]

    def val() -> Any:
        return [(normalize(images), labels)]

    assert (linear_probe(model, train, val) == labels.numpy()).all()
    assert all(torch.equal(before[name], now) for name, now in model.named_parameters())
    # The statistics are those of all images, whose brightness varies more than within a class.
    whole = model[0](normalize(images)).var(dim=(0, 2, 3))
    torch.testing.assert_close(model[1].running_var, whole, rtol=0.1, atol=0)


# Command lines


@pytest.mark.parametrize(
    "error, code, sentence",
    [
        (ValueError("too small"), 2, "too small"),
        (FileNotFoundError(2, "No such file", "x.npz"), 2, "No such file: x.npz"),
        (FloatingPointError("the loss is nan at step 3"), 1, "the loss is nan at step 3: try a"),
        (ModuleNotFoundError("needs timm"), 2, "needs timm"),
        (
            RuntimeError("pooling does not have a deterministic implementation, but\nyou set it"),
            2,
            "pooling does not have a deterministic implementation: leave out --deterministic",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, sentence: str
) -> None:
    def work(_: int) -> int:
        raise error

    assert run_script(int, work, ["1"]) == code
    said = capsys.readouterr().err
    assert said.startswith(f"test_training.py: error: {sentence}" if sentence else "")
    assert len(said.splitlines()) == (1 if sentence else 0)


@pytest.mark.parametrize("error", [KeyError("key"), RuntimeError("shapes do not match")])
def test_an_error_of_ours_keeps_its_traceback(error: Exception) -> None:
    def work(_: int) -> int:
        raise error

    with pytest.raises(type(error)):
        run_script(int, work, ["1"])


def test_an_old_option_names_the_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    renamed = {"--old": "--flip False"}
    assert run_script(Flipped, lambda _: 0, ["--old=3"], renamed=renamed) == 2
    assert capsys.readouterr().err == "test_training.py: error: --old is now --flip False\n"


@dataclasses.dataclass
class Flipped:
    flip: bool = True  # Flip.


@dataclasses.dataclass
class Typed:
    preset: tuple[str, ...] = ()  # Presets.
    pair: tuple[int, str] = (0, "")  # A pair.
    files: tuple[Path, ...] = ()  # Files.
    named: str | Path = ""  # A name.


def test_a_preset_takes_the_types_of_a_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[Typed] = []

    def keep(settings: Typed) -> int:
        given.append(settings)
        return 0

    mine = tmp_path / "mine.toml"
    mine.write_text('pair = [1, "a"]\nfiles = ["b", "c"]\nnamed = "auto"\n', encoding="utf-8")
    assert run_script(Typed, keep, ["--preset", str(mine)], presets=tmp_path) == 0
    assert given == [Typed((str(mine),), (1, "a"), (Path("b"), Path("c")), "auto")]
    mine.write_text("pair = [1, 2]\n", encoding="utf-8")
    assert run_script(Typed, keep, ["--preset", str(mine)], presets=tmp_path) == 2
    assert "pair must be a list of an integer, a string, got (1, 2)" in capsys.readouterr().err


def test_an_old_option_that_the_script_has_or_cannot_replace_is_its_own() -> None:
    renamed = {"--no-flip": "--flip False", "--old": "--new"}
    flips: list[bool] = []

    def keep(settings: Flipped) -> int:
        flips.append(settings.flip)
        return 0

    assert run_script(Flipped, keep, ["--no-flip"], renamed=renamed) == 0 and flips == [False]
    with pytest.raises(SystemExit):  # tyro says that it does not know it
        run_script(Flipped, keep, ["--old"], renamed=renamed)


# Augmentation


def gradient(count: int, channels: int = 1) -> torch.Tensor:
    """Equal images that grow brighter to the right, and a little downwards."""
    row = torch.linspace(0, 200, 64)
    return (row + row[:, None] / 4).expand(count, channels, 64, 64).round().to(torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_of_a_batch_is_augmented_in_its_own_way(channels: int) -> None:
    images = gradient(16, channels)
    for options in ({"crop_scale": 0.08}, {"flip": True}, {"rand_augment": 9}):
        augment = Augmentation((32, 48), **options)
        torch.manual_seed(0)
        first = augment(images)
        assert first.shape == (16, channels, 32, 48) and first.dtype == torch.uint8
        kinds = {image.numpy().tobytes() for image in first}
        assert len(kinds) == 2 if "flip" in options else len(kinds) > 8, options
        torch.manual_seed(0)
        assert torch.equal(augment(images), first)
    assert torch.equal(images, gradient(16, channels))


def test_a_crop_is_a_part_of_the_image_at_the_size_of_all() -> None:
    torch.manual_seed(0)
    whole, part = (Augmentation(32, crop_scale=scale)(gradient(200)) for scale in (1.0, 0.08))
    wide = (part[:, 0, :, -1].float() - part[:, 0, :, 0].float()).mean(1)
    # 200 gray levels from left to right, less in a crop, from a quarter of the side on.
    assert 40 < float(wide.min()) < 80 and float(wide.max()) > 150
    # Without a choice of the scale a crop is almost all of the image: only its shape varies.
    assert float((whole[:, 0, :, -1].float() - whole[:, 0, :, 0].float()).mean()) > 165


def test_without_options_images_are_resized_alone() -> None:
    images = gradient(3)
    assert torch.equal(Augmentation(64)(images), images)
    assert Augmentation(16)(images).shape == (3, 1, 16, 16)


def test_erasing_takes_rectangles_from_its_share_of_the_images() -> None:
    torch.manual_seed(0)
    images = torch.full((400, 3, 32, 32), 9.0)
    erased = Erasing(0.25)(images)
    changed = (erased != images).flatten(1).any(1)
    assert 70 < int(changed.sum()) < 130
    assert float(erased[changed].min()) < -2  # of a normal distribution
    masks = (erased != images).any(1)[changed]
    shares = masks.flatten(1).float().mean(1)
    assert 0.01 < float(shares.min()) < 0.05 and 0.25 < float(shares.max()) < 0.4
    rows, columns = (masks.any(axis).sum(1) for axis in (2, 1))
    assert torch.equal(rows * columns, masks.flatten(1).sum(1))  # rectangles
    assert torch.equal(Erasing(0)(images), images)
    erased = Erasing(1)(images) != images
    often = erased.any(1).float().mean(0)  # in the middle more than in the corners, but everywhere
    assert (
        float((often - often.flip(0, 1)).abs().max()) < 0.15
        and float(often[-8:, -8:].mean()) > 0.02
    )


def test_mixed_labels_are_the_shares_of_the_images() -> None:
    torch.manual_seed(0)
    labels = torch.arange(8)
    # Each image is its own constant, so its mean says what was mixed into it.
    images = labels.float().reshape(8, 1, 1, 1).expand(8, 3, 32, 32)
    for options in ({"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}):
        mix = mixing(8, **options)
        for _ in range(10):
            inputs, targets = mix(images, labels)
            assert targets.shape == (8, 8) and torch.allclose(targets.sum(1), torch.ones(8))
            torch.testing.assert_close(inputs.mean((1, 2, 3)), targets @ labels.float())
    assert mixing(8)(images, labels)[1] is labels
    with pytest.raises(ValueError, match=r"one label per image, .* of shape \(8, 8\)"):
        mixing(8, mixup=0.8)(images, torch.eye(8))


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Augmentation(32, crop_scale=0.0), "crop_scale must be above 0, up to 1, got 0.0"),
        (lambda: Augmentation(32, rand_augment=31), "rand_augment must be 0 to 30, got 31"),
        (lambda: Erasing(1.5), "probability must be 0 to 1, got 1.5"),
        (lambda: mixing(8, mixup=-1.0), "mixup and cutmix must be 0 or more, got -1.0 and 0.0"),
        (lambda: build_model("vit6s", 3, input_size=30), "square images with a side of 4, 8, 12"),
        (lambda: build_model("resnet10s", 3, drop_path=0.1), "drop_path is for networks of timm"),
        (lambda: build_model("fcn_resnet50", 3), "torchvision has no classifier 'fcn_resnet50'"),
        (
            lambda: build_model("vit_b_32", 3, input_size=60),
            "vit_b_32 does not take images of 60×60",
        ),
        (
            lambda: build_model("maxvit_t", 3, input_size=64),
            "does not take images of 64×64: Input size",
        ),
        (
            lambda: build_model("alexnet", 3, input_size=(32, 48)),
            "alexnet does not take images of 32×48: .*Output size is too small",
        ),
        (lambda: build_model("vit_b_32", 3, input_size=(64, 32)), "square images, got 64×32"),
    ],
)
def test_augmentation_out_of_range_is_one_sentence(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize(
    "name, error, says",
    [
        ("missing", ValueError, "networks.py has no function or class 'missing'"),
        ("text", TypeError, "text must return a torch.nn.Module, got str"),
        (
            "headless",
            ValueError,
            r"must return logits \(B, 3\), got \(1, 4, 1, 1\)",
        ),
        ("pair", ValueError, r"must return logits \(B, 3\), got a tuple"),
        ("flat", ValueError, "flat does not take images of 32×32: .*mat1 and mat2"),
    ],
)
def test_a_network_of_ones_own_that_does_not_fit_is_one_sentence(
    name: str, error: type[Exception], says: str, networks: Path
) -> None:
    with pytest.raises(error, match=says):
        build_model(f"{networks}:{name}", 3, input_size=32)


def test_a_network_of_ones_own_trains_and_its_weights_load(networks: Path, tmp_path: Path) -> None:
    name = f"{networks}:Small"
    pretrained = saved(tmp_path / "run", name, 4, 32)
    with pytest.raises(ValueError, match=r"name it yourself .*no file of weights may choose"):
        load_pretrained(tmp_path / "run" / "weights.safetensors", 7)
    loaded, own = load_pretrained(tmp_path / "run" / "weights.safetensors", 7, name=name)
    assert own == name and loaded.training
    assert torch.equal(loaded.get_submodule("0").weight, pretrained.get_submodule("0").weight)
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text(networks.read_text(encoding="utf-8"))
    networks.unlink()  # another computer has other folders
    _, moved = load_pretrained(
        tmp_path / "run" / "weights.safetensors", 7, name=f"{elsewhere}:Small"
    )
    assert moved == f"{elsewhere}:Small"
    with pytest.raises(FileNotFoundError, match=r"no script at .*none\.py"):
        build_model("none.py:Small", 3)
    with pytest.raises(ValueError, match=r"weights\.safetensors does not hold a .*:wide"):
        load_pretrained(tmp_path / "run" / "weights.safetensors", 7, name=f"{elsewhere}:wide")


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    """A script with networks, good and bad."""
    script = tmp_path / "networks.py"
    script.write_text(
        """
from torch import nn

class Small(nn.Sequential):
    def __init__(self, num_classes, width=4):
        pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        super().__init__(nn.Conv2d(3, width, 3), *pooled, nn.Linear(width, num_classes))

def wide(num_classes):
    return Small(num_classes, width=8)

def text(num_classes):
    return "a network"

def headless(num_classes):
    return nn.Sequential(*list(Small(num_classes))[:2])

class Pair(Small):
    def forward(self, images):
        return super().forward(images), None

pair = Pair

def flat(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, num_classes))
"""
    )
    return script


def test_a_probe_recomputes_the_statistics_of_whole_images() -> None:
    from torchvision.ops import StochasticDepth

    images, labels = torch.rand(24, 3, 8, 8), torch.arange(24) % 2
    norm = nn.BatchNorm2d(3)
    dropping = nn.Dropout(0.9), StochasticDepth(0.9, "row")
    model = nn.Sequential(*dropping, norm, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2))
    batches = [(images[:12], labels[:12]), (images[12:], labels[12:])]
    linear_probe(model, lambda: batches, lambda: batches)
    torch.testing.assert_close(norm.running_mean, images.mean((0, 2, 3)))
    assert not model.training and norm.momentum == 0.1


def test_a_network_needs_a_linear_layer_that_fine_tuning_replaces() -> None:
    with pytest.raises(ValueError, match="SqueezeNet has no linear layer that classifies"):
        build_model("squeezenet1_1", 3)


def test_features_may_come_from_a_convolution_that_classifies() -> None:
    pytest.importorskip("timm")
    model = build_model("timm:resnetv2_18", 3, input_size=64).eval()
    with torch.no_grad():
        features, _ = features_of(model, [(torch.zeros(2, 3, 64, 64), torch.arange(2))])
    assert features.shape == (2, 512)


def test_the_features_of_a_probe_do_not_depend_on_their_batch() -> None:
    seen = []

    class Spy(nn.Linear):
        def forward(self, input: Any) -> Any:
            seen.append(input.clone())
            return super().forward(input)

    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), Spy(4, 2))
    labels = torch.arange(40) % 2
    images = torch.randn(40, 4) + labels[:, None]
    batches = [*zip(images.split(8), labels.split(8), strict=True)]
    linear_probe(model, lambda: batches, lambda: [(images[:2], labels[:2])])
    first_of_training = seen[-1 - len(batches)]
    torch.testing.assert_close(seen[-1], first_of_training[:2])


def test_a_network_for_small_images_is_ready_to_train() -> None:
    assert all(part.training for part in build_model("resnet10s", 3, input_size=32).modules())
    small, large = (build_model("resnet10s", 3, seed=0, input_size=side) for side in (32, 224))
    for name, value in small.state_dict().items():  # checking the size changed nothing
        assert torch.equal(value, large.state_dict()[name]), name


@pytest.mark.parametrize(
    "make, error, says",
    [
        (lambda: Augmentation(4)(torch.rand(2, 3, 8, 8)), ValueError, "uint8 .*torch.float32"),
        (lambda: LabeledImages(np.ones((1, 8, 8)), [0], ["a"], 8), TypeError, "got an array of fl"),
        (lambda: LabeledImages(EMPTY, [0], ["a"], 8), ValueError, "got 2 images, but 1 labels"),
        (lambda: LabeledImages(EMPTY, [0.9, 0.2], ["a"], 8), TypeError, "integers, got float64"),
        (lambda: LabeledImages(EMPTY, [0, 1], ["a"], 8), ValueError, "0 and 0, got 1"),
        (lambda: LabeledImages(EMPTY, [0, -1], ["a"], 8), ValueError, "0 and 0, got -1"),
        (
            lambda: LabeledImages(EMPTY, [[0] * 3] * 2, ["a"], 8),
            ValueError,
            r"\(2, 1\), got \(2, 3\)",
        ),
        (lambda: LabeledImages([np.ones((8, 8))], [0], ["a"], 8), TypeError, "got an array of fl"),
        (lambda: LabeledImages([5], [0], ["a"], 8), TypeError, "file or a uint8 array, got 5"),
        (lambda: LabeledImages([None], [0], ["a"], 8), TypeError, "a uint8 array, got None"),
        (lambda: Validation(2).compute(), RuntimeError, "nothing to score"),
        (lambda: choose_labels(np.arange(3), per_class=0), ValueError, "at least 1, got 0"),
        (lambda: Normalize(dtype=torch.int64), TypeError, "floating-point dtype .*torch.int64"),
    ],
)
def test_a_wrong_array_is_one_sentence(make: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        make()


@pytest.mark.parametrize("shape", [(3, 8, 8), (8, 8, 1), (8, 8, 2), (8, 8, 4), (0, 8), (8,)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    says = re.escape(f"an image must have pixels, (H, W) or (H, W, 3), got shape {shape}")
    for images in (np.zeros((1, *shape), np.uint8), [torch.zeros(shape).byte()]):
        with pytest.raises(ValueError, match=says):
            LabeledImages(images, [0], ["a"], 8)


def test_images_may_be_a_tensor() -> None:
    images = torch.arange(2 * 8 * 8, dtype=torch.uint8).reshape(2, 8, 8)
    for source in (images, list(images)):
        assert torch.equal(LabeledImages(source, [0, 1], ["a", "b"], 8)[1][0][0], images[1])


def test_a_network_of_two_heads_is_refused() -> None:
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match="has several heads, for distillation"):
        build_model("timm:deit_tiny_distilled_patch16_224", 3)


def test_norms_and_biases_do_not_decay() -> None:
    model = build_model("vit6s", 3, seed=0, input_size=32)
    decayed, others = decay_groups([{"params": model.parameters(), "lr": 0.1}], 0.05)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    assert decayed["lr"] == others["lr"] == 0.1
    parameters = {id(one) for one in model.parameters()}
    assert {id(one) for group in (decayed, others) for one in group["params"]} == parameters
    assert all(one.ndim == 1 for one in others["params"])


def test_embeddings_that_timm_names_do_not_decay() -> None:
    pytest.importorskip("timm")
    model = build_model("timm:vit_tiny_patch16_224", 3, input_size=32)
    decayed, others = decay_groups([{"params": model.parameters()}], 0.05, model=model)
    kept = {id(one) for one in others["params"]}
    assert id(model.pos_embed) in kept and id(model.cls_token) in kept
    assert id(model.patch_embed.proj.weight) in {id(one) for one in decayed["params"]}


def test_a_small_transformer_is_pretrained_and_fine_tuned(tmp_path: Path) -> None:
    model = build_model("vit6s", 5, seed=0, input_size=32)
    assert last_layer(model) == "heads.head" and model(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    family, rendering = fdsl.Perlin(4), fdsl.Frame(size=32)
    about = {"family": family, "rendering": rendering, "mean": 0.2, "std": 0.5}
    save_weights(tmp_path, model, name="vit6s", **about)
    tuned, name = load_pretrained(tmp_path / "weights.safetensors", 7, input_size=32)
    assert name == "vit6s" and tuned(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert torch.equal(tuned.conv_proj.weight, model.conv_proj.weight)


def test_a_transformer_of_torchvision_is_built_for_the_size_of_the_images() -> None:
    model = build_model("vit_b_32", 3, seed=0, input_size=64)
    assert model.encoder.pos_embedding.shape[1] == 1 + 2 * 2
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_paths_are_dropped_in_networks_of_timm() -> None:
    pytest.importorskip("timm")
    model = build_model("timm:deit_tiny_patch16_224", 4, input_size=32, drop_path=0.2)
    rates = [part.drop_prob for part in model.modules() if type(part).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.2)


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel], ids=["compiled", "parallel"])
def test_a_wrapped_network_names_what_does_not_decay(wrap: Any) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.head = nn.Parameter(torch.zeros(1, 4)), nn.Linear(4, 2)

        def no_weight_decay(self) -> set[str]:
            return {"token"}

    model = Named()
    groups = decay_groups([{"params": model.parameters()}], 0.05, model=wrap(model))
    assert [len(group["params"]) for group in groups] == [1, 2]


@pytest.mark.parametrize("entry", ["state_dict", "model"])
def test_weights_may_be_an_entry_of_what_another_program_saved(tmp_path: Path, entry: str) -> None:
    model = build_model("resnet10s", 3, seed=0)
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({entry: state, "epoch": 3}, tmp_path / "theirs.pth")
    loaded, _ = load_pretrained(tmp_path / "theirs.pth", 5, name="resnet10s")
    torch.testing.assert_close(loaded.conv1.weight, model.conv1.weight)


def test_weights_of_a_training_script_of_timm_may_be_loaded(tmp_path: Path) -> None:
    model = build_model("resnet10s", 3, seed=0)
    about = {"epoch": 3, "args": argparse.Namespace(lr=0.1, mean=[0.5])}
    torch.save({"state_dict": model.state_dict(), **about}, tmp_path / "theirs.pth.tar")
    loaded, _ = load_pretrained(tmp_path / "theirs.pth.tar", 5, name="resnet10s")
    torch.testing.assert_close(loaded.conv1.weight, model.conv1.weight)
    torch.save({"state_dict": {}, "when": datetime.date(2020, 1, 1)}, tmp_path / "theirs.pth.tar")
    says = r"holds more than tensors and plain values, a datetime\.date: save its state_dict"
    with pytest.raises(ValueError, match=says):
        load_weights(tmp_path / "theirs.pth.tar")


def test_a_transformer_of_timm_is_fitted_to_another_size(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    name = "timm:vit_tiny_patch16_224"
    model = build_model(name, 3, seed=0, input_size=64)
    torch.save(model.state_dict(), tmp_path / "large.pth")
    small, _ = load_pretrained(tmp_path / "large.pth", 5, name=name, input_size=32)
    assert small.pos_embed.shape == (1, 1 + 4, 192)
    same, _ = load_pretrained(tmp_path / "large.pth", 5, name=name, input_size=64)
    torch.testing.assert_close(same.pos_embed, model.pos_embed)


def test_position_embeddings_that_a_file_only_claims_are_not_resampled(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    name = "timm:vit_tiny_patch16_224"
    weights = build_model(name, 3, input_size=32).state_dict()
    weights["pos_embed"] = torch.zeros(1).expand(1, 1 + 10**8, 192)
    torch.save(weights, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=r"pos_embed has the shape \(1, 100000001, 192\), not"):
        load_pretrained(tmp_path / "theirs.pth", 5, name=name, input_size=32)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vit_small_patch16_224", "deit3_small_patch16_224"])
def test_weights_of_another_network_of_timm_are_refused(tmp_path: Path, model: str) -> None:
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("vit_small_patch32_224").state_dict(), tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=f"does not hold a timm:{model}"):
        load_pretrained(tmp_path / "theirs.pth", 5, name=f"timm:{model}")


def test_what_is_no_state_dict_is_one_sentence(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "net": {}}, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match="must hold only named tensors, but holds 'epoch'"):
        load_weights(tmp_path / "theirs.pth")


@pytest.mark.parametrize(
    "content, says",
    [
        ({0: torch.ones(1)}, "must hold only named tensors, but holds 0: save"),
        ({"weights": [1], "made": {}}, "must hold a dict of tensors, got [1]"),
        ({"weights": {}, "made": "x"}, "must name its network in 'made', got 'x'"),
        (
            {"weights": {}, "made": {"model": 5}},
            "must name its network in 'made', got {'model': 5}",
        ),
        (
            {"w": torch.ones(1).to_sparse()},
            "must hold dense tensors with data, but w is torch.spar",
        ),
        (
            {"w": torch.ones(1, device="meta")},
            "must hold dense tensors with data, but w is torch.strided on meta",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Validating sparse tensor:UserWarning")
def test_weights_of_another_form_are_one_sentence(tmp_path: Path, content: Any, says: str) -> None:
    torch.save(content, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'theirs.pth'} {says}")):
        load_pretrained(tmp_path / "theirs.pth", 5)


def test_a_small_file_cannot_take_any_amount_of_memory(tmp_path: Path) -> None:
    file, huge = tmp_path / "theirs.pth", torch.zeros(1).expand(10**12)
    torch.save(build_model("resnet10s", 5).state_dict() | {"conv1.weight": huge}, file)
    with pytest.raises(ValueError, match=r"conv1\.weight has the shape \(1000000000000,\)"):
        load_pretrained(file, 5, name="resnet10s")
    with zipfile.ZipFile(file) as stored, zipfile.ZipFile(tmp_path / "a.pth", "w") as packed:
        for name in stored.namelist():
            packed.writestr(name, stored.read(name), zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"a\.pth is damaged or not a checkpoint: it is compress"):
        load_weights(tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as script:  # as torch.jit.save writes it
        script.writestr("script/constants.pkl", b"")
    with pytest.raises(ValueError, match=r"it is a TorchScript archive: save the network's"):
        load_weights(tmp_path / "script.pt")
    with gzip.open(tmp_path / "images.gz", "wb") as images:
        images.write(b"\0\0\x08\x01\0\0\0\x03" + bytes(3 * 10**7))
    tracemalloc.start()
    with pytest.raises(ValueError, match="got more"):
        read_idx(tmp_path / "images.gz", 1)
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


SHORT_GZIP = gzip.compress(b"\0\0\x08\x01\0\0\0\x63" + bytes(99), mtime=0)[:-9]


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("a", b"\0\0\x08\x01\0\0\0\x03\1\2", "it must hold 3 values, [3], got 2"),
        ("a", b"\0\0\x08\x01\0\0", "it ends within its header, after 6 of 8 bytes"),
        (
            "a",
            b"\0\0\x0d\x01" + bytes(12),
            "it must begin with 00 00 08 01, got 00 00 ",
        ),
        ("a", b"", "it must begin with 00 00 08 01, got "),
        ("a.gz", SHORT_GZIP, "Compressed file ended before"),
        ("a.gz", b"plain", "Not a gzipped file"),
        ("a", b"\0\0\x08\x01\0\0\0\x03" + bytes(9), "it must hold 3 values, [3], got more"),
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"cannot read {tmp_path / name}: {says}")):
        read_idx(tmp_path / name, 1)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere", 1)


def test_labeled_images_may_be_written_to() -> None:
    images = LabeledImages(np.full((1, 8, 8), 7, np.uint8), [0], ["a", "b"], 8)
    images[0][0].zero_()
    assert images[0][0].max() == 7
    several = LabeledImages(np.zeros((1, 8, 8), np.uint8), [[1, 0]], ["a", "b"], 8)
    several[0][1].zero_()
    assert several[0][1].tolist() == [1, 0]


def test_no_images_are_augmented_to_no_images() -> None:
    images = torch.empty((0, 3, 16, 16), dtype=torch.uint8)
    assert Augmentation(8, crop_scale=0.5)(images).shape == (0, 3, 8, 8)
    assert Erasing(0.5)(images).shape == images.shape
