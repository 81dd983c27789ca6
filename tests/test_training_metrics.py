"""Metrics of a training script: rows, averages and scores."""

import io
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packages import TRAINING, need

need(*TRAINING)

import torch
from fdsl.torch.training import MetricsLog, Validation
from training import rows

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


def test_a_log_that_is_no_file_may_fail_too(tmp_path: Path, monkeypatch: Any) -> None:
    class Full(io.TextIOBase):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    log = MetricsLog(tmp_path, echo=True)
    monkeypatch.setattr(sys, "stdout", Full())
    for step in (1, 2):
        log.write(step)
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3


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


def test_the_loss_of_a_validation_is_the_mean_over_images() -> None:
    scores = Validation(2)
    scores.update(torch.eye(2)[[0, 0, 0]], torch.tensor([0, 0, 0]), torch.tensor(1.0))
    scores.update(torch.eye(2)[[0]], torch.tensor([0]), torch.tensor(5.0))
    assert scores.compute().loss == 2.0


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
