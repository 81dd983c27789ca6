"""Lets tests import the example scripts, or skips those tests where something is missing."""

import importlib
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def need(*more: str) -> None:
    """Skips the module unless the scripts' packages, and these, can be imported."""
    pytest.importorskip("torch")
    for name in ("torchvision", "safetensors", "sklearn", "matplotlib", "tqdm", *more):
        try:
            importlib.import_module(name)
        except Exception as error:  # torchvision raises RuntimeError beside a torch it does not fit
            pytest.skip(f"{name}: {error}", allow_module_level=True)
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
