"""The command line of a training script: mistakes, missing packages, presets."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from packages import TRAINING, need

need(*TRAINING)

from fdsl.torch.training import (
    Augmentation,
    Checkpoints,
    Erasing,
    MetricsLog,
    Validation,
    build_model,
    linear_probe,
    mixing,
    run_script,
)
from torch import nn

#: What the script of these tests is called in its messages.
PROGRAM = Path(__file__).name


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
    assert said.startswith(f"{PROGRAM}: error: {sentence}" if sentence else "")
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
    assert capsys.readouterr().err == f"{PROGRAM}: error: --old is now --flip False\n"


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
