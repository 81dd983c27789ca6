"""Skips the tests of a module where a package is missing."""

import importlib

import pytest

#: What `fdsl.torch.training` needs, all of its parts together.
TRAINING = ("torch", "torchvision", "safetensors", "sklearn", "torchmetrics", "filelock", "tyro")


def need(*names: str) -> None:
    """Skips the module unless these packages can be imported."""
    for name in names:
        try:
            importlib.import_module(name)
        # Each is optional for users. Torchvision raises RuntimeError if it does not match torch.
        except Exception as error:
            pytest.skip(f"{name}: {error}", allow_module_level=True)
