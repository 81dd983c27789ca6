"""The demo runs twice in one folder, and ends with a figure of both curves."""

from pathlib import Path

import pytest
from scripts import need

need()

import demo


@pytest.mark.slow
def test_the_demo_runs_twice_in_one_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["--fast", "--device", "cpu", "--out", str(tmp_path / "demo")]
    assert demo.main(run) == 0
    assert demo.main(run) == 0
    assert "too short to show a gain" in capsys.readouterr().out
    for file in ("categories.png", "pretrain/weights.safetensors", "curves.png"):
        assert (tmp_path / "demo" / file).stat().st_size > 0


def test_the_figure_of_the_demo_shows_both_curves(tmp_path: Path) -> None:
    expected = {"pre-trained": [0.25, 0.75], "from scratch": [0.125, 0.5]}
    for name, accuracies in expected.items():
        out = tmp_path / name.replace(" ", "-")
        out.mkdir()
        rows = ["step,epoch,loss,val_accuracy"]
        for epoch, accuracy in enumerate(accuracies):
            rows += [f"{2 * epoch},{epoch},1.5,{accuracy}", f"{2 * epoch},{epoch},1.5,"]
        (out / "metrics.csv").write_text("\n".join(rows) + "\n")
    axes = demo.compare(demo.Settings(out=tmp_path)).axes[0]
    shown = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert shown == expected
    assert [list(line.get_xdata()) for line in axes.lines] == [[1, 2], [1, 2]]
