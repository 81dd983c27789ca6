"""Lets tests import the example scripts, or skips those tests where something is missing."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import packages
from processes import started

EXAMPLES = Path(__file__).parent.parent / "examples"


def need(*more: str) -> None:
    """Skips the module unless the scripts' packages, and these, can be imported."""
    packages.need(*packages.TRAINING, "matplotlib", "tqdm", *more)
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))


def ran(command: Sequence[Any], **options: Any) -> "subprocess.CompletedProcess[str]":
    """Runs a command to its end, as `subprocess.run` does with its output captured as text. When
    the test ends first, the command and its children end too."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with started(command, **pipes, **options) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)
