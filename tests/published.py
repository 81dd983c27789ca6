"""Reads the images and statements of the authors' code, which are kept outside the checkout."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(os.environ.get("FDSL_REFERENCE", Path(__file__).parents[2] / "shared/reference2"))


def reference(name):
    """Returns the statements (JSON) and arrays of a program; skips the test without them."""
    files = [FOLDER / f"{name}.json", FOLDER / f"{name}.npz"]
    if not any(file.exists() for file in files):
        pytest.skip(f"no {name} in {FOLDER}: set FDSL_REFERENCE to a folder that has it")
    told = json.loads(files[0].read_text()) if files[0].exists() else {}
    return told, np.load(files[1]) if files[1].exists() else {}


def agreement(ours, theirs, background=0):
    """Of the pixels lit in either image, the share whose grays differ by at most 8."""
    lit = (ours != background) | (theirs != background)
    return (np.abs(ours.astype(int) - theirs) <= 8)[lit].mean()


def scores(draws, told):
    """How far the means of our draws lie from the released code's, in standard deviations."""
    found = []
    for name, (mean, deviation) in told.items():
        ours = np.mean([draw[name] for draw in draws])
        found.append((ours - mean) / (deviation * np.sqrt(2 / len(draws))))
    return np.array(found)
