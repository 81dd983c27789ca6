"""Every command and code block of the README runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TINY = {
    "pretrain.py": "--model resnet18 --categories 2 --size 40 --crop 32 --points 500 "
    "--batch-size 4 --max-steps 2",
    "finetune.py": "--size 32 --batch-size 20 --per-class 2 --epochs 1",
}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def commands():
    lines = [line.split("#")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    return [line for line in lines if line]


def test_the_python_blocks_run_one_after_the_other(tmp_path):
    pytest.importorskip("torch")
    # As a script and in an empty folder, as a stranger would: workers may be spawned.
    code = "\n".join(blocks("python"))
    checks = """
assert tuple(inputs.shape) == (32, 3, 224, 224), inputs.shape
assert images.shape == (3, 256, 256) and images.dtype == "uint8"
assert state == {"samples": 8}, state
"""
    run = subprocess.run([sys.executable, "-c", code + checks], cwd=tmp_path)
    assert run.returncode == 0


def test_every_kind_of_command_is_known():
    known = ("pip install ", "make ", "python examples/")
    assert commands()
    assert [line for line in commands() if not line.startswith(known)] == []


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("make ")])
def test_the_make_targets_exist(line):
    if shutil.which("make") is None:
        pytest.skip("no make here")
    subprocess.run([*line.replace("make", "make -n", 1).split()], cwd=ROOT, check=True)


def test_the_scripts_run_as_written_but_smaller(tmp_path):
    pytest.importorskip("torchvision")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for line in commands():
        if line.startswith("python "):
            script = line.split()[1].split("/")[1]
            arguments = [sys.executable, *line.split()[1:], *TINY[script].split()]
            run = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
            assert run.returncode == 0, run.stderr[-2000:]
    assert (tmp_path / "runs" / "digits" / "result.json").exists()


def test_the_pictures_and_links_are_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
