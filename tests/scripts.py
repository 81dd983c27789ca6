"""Lets tests import the example scripts, or skips those tests where something is missing."""

import importlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from processes import started

EXAMPLES = Path(__file__).parent.parent / "examples"


def need(*more: str) -> None:
    """Skips the module unless the scripts' packages, and these, can be imported."""
    pytest.importorskip("torch")
    names = ("torchvision", "safetensors", "sklearn", "matplotlib", "tqdm", "tyro")
    for name in (*names, "torchmetrics", "filelock", *more):
        try:
            importlib.import_module(name)
        except Exception as error:  # torchvision raises RuntimeError if it does not match torch
            pytest.skip(f"{name}: {error}", allow_module_level=True)
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))


def ran(command: Sequence[Any], **options: Any) -> "subprocess.CompletedProcess[str]":
    """Runs a command to its end, as `subprocess.run` does with its output captured as text. When
    the test ends first, the command and its children end too."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with started(command, **pipes, **options) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)
