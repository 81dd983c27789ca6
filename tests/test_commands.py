"""The targets of the Makefile do what they say, whatever earlier ones left behind."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from scripts import ran

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_make_test_runs_no_linter(tmp_path):
    def plan(target):
        command = ["make", "--dry-run", target, f"VENV={tmp_path}"]
        run = ran(command, cwd=ROOT)
        assert run.returncode == 0, run.stderr
        return run.stdout

    style = re.compile(r"cargo \S*\s*(?:fmt|clippy)|-m (?:ruff|mypy)")
    assert not style.findall(plan("test"))
    assert len(style.findall(plan("check"))) == 7


def test_folders_beside_a_script_do_not_change_its_import_order(tmp_path):
    pytest.importorskip("ruff")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    script = tmp_path / "examples" / "script.py"
    script.parent.mkdir()
    script.write_text('"""Script."""\n\nimport demo\nimport numpy\n\nprint(demo, numpy)\n')
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "result.json").touch()
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "."]
    run = ran(command, cwd=tmp_path)
    assert run.returncode == 0, run.stdout


def test_the_output_of_the_demo_is_neither_linted_nor_committed(tmp_path):
    pytest.importorskip("ruff")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "model.py").write_text("import os\n")
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "."]
    run = ran(command, cwd=tmp_path)
    assert run.returncode == 0, run.stdout
    assert "/runs/" in (ROOT / ".gitignore").read_text().splitlines()
