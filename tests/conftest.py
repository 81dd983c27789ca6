"""Fixtures of several test files, and which files here hold no tests."""

import gc
from pathlib import Path

import fdsl
import pytest

# Pytest looks for doctests in every module, and some helpers import what may be missing.
collect_ignore = [
    file.name for file in Path(__file__).parent.glob("*.py") if not file.name.startswith("test_")
]


def pytest_collection_finish() -> None:
    """Leaves what the tests have imported out of garbage collections, of which some tests ask for
    one each: with torch, it takes a third of a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def ifs() -> fdsl.IFS:
    """Five categories that take no time to find or to render."""
    return fdsl.IFS.search(categories=5, fill_rate=0.05, seed=1, size=64, num_points=2000)


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests run as one rank, whatever started them."""
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def two_threads() -> None:
    """Torch computes on two threads at most."""
    import torch

    torch.set_num_threads(min(2, torch.get_num_threads()))
