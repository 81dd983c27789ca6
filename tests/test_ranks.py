"""Streams on several ranks: disjoint, complete, and found where a launcher says so."""

import contextlib
import copy
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")  # an optional package, which all of this file needs

import fdsl
from fdsl.torch import Stream
from streams import BATCH, contents, images_of, loader_of, needs_fork, singles, stream_of

pytestmark = pytest.mark.usefixtures("no_launcher")


def test_ranks_are_disjoint_and_complete(ifs: fdsl.IFS) -> None:
    whole = contents(stream_of(ifs, batch_size=2 * BATCH), 6)
    ranks = [contents(stream_of(ifs, rank=rank, world_size=2), 6) for rank in range(2)]
    assert set(images_of(singles(ranks[0]))).isdisjoint(images_of(singles(ranks[1])))
    interleaved = [batch for both in zip(*ranks, strict=True) for batch in both]
    assert singles(interleaved) == singles(whole)


def test_the_ranks_of_a_launcher_are_found(ifs: fdsl.IFS, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = contents(stream_of(ifs, rank=1, world_size=3), 4)
    stream = stream_of(ifs)  # made before the launcher's variables are set
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert contents(stream, 4) == expected
    assert contents(loader_of(stream_of(ifs), workers=2), 4) == expected
    # Arguments take precedence over the launcher.
    alone = contents(stream_of(ifs, rank=0, world_size=1), 4)
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("WORLD_SIZE")
    assert alone == contents(stream_of(ifs), 4) != expected


def test_asking_for_the_length_does_not_fix_the_rank(
    ifs: fdsl.IFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = stream_of(ifs, steps_per_epoch=4)
    assert len(stream) == 4
    assert stream.state_dict() == {"samples": 0}
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert contents(stream) == contents(stream_of(ifs, rank=1, world_size=2), 4)


def test_impossible_ranks_are_refused(ifs: fdsl.IFS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ValueError, match="RANK=3 is set without WORLD_SIZE"):
        next(iter(stream_of(ifs)))
    monkeypatch.delenv("RANK")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match="WORLD_SIZE=4 is set without RANK"):
        next(iter(stream_of(ifs)))
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(ValueError, match="WORLD_SIZE must be a whole number, got 'many'"):
        next(iter(stream_of(ifs)))
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="3 of 3"):
        next(iter(stream_of(ifs)))


def test_the_ranks_may_be_known_only_when_a_pass_begins(
    ifs: fdsl.IFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restored(samples: int, **ranks: int) -> Stream:
        stream = stream_of(ifs, steps_per_epoch=3, **ranks)
        stream.load_state_dict({"samples": samples})
        return stream

    batch = 2 * stream_of(ifs)._global_batch()  # of two ranks
    early = restored(4 * batch)
    expected = contents(restored(4 * batch, rank=1, world_size=2))
    assert len(expected) == 2
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (early.epoch, early.state_dict()) == (1, {"samples": 4 * batch})
    assert contents(early) == expected
    assert (early.epoch, early.state_dict()) == (1, {"samples": 6 * batch})
    early = restored(4 * batch)
    early.set_epoch(1)
    assert contents(early) == expected
    early = restored(4 * batch)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="not a whole number of batches"):
        next(iter(early))


def test_what_only_moves_the_position_needs_no_rank(
    ifs: fdsl.IFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # as in Lightning's children, which have no RANK at first
    monkeypatch.delenv("RANK", raising=False)
    stream = stream_of(ifs, steps_per_epoch=3)
    stream.set_epoch(2)
    moved = copy.deepcopy(stream)
    assert moved.epoch == 2
    moved.load_state_dict(stream.state_dict())
    monkeypatch.setenv("RANK", "1")
    expected = stream_of(ifs, steps_per_epoch=3, rank=1, world_size=2)
    expected.set_epoch(2)
    assert contents(stream) == contents(expected)


@contextlib.contextmanager
def _group(rank: int, folder: str) -> Iterator[None]:
    """Joins two ranks of torch.distributed, which leave together."""
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    try:
        yield
        torch.distributed.barrier()  # a rank that leaves early breaks the other's connection
    finally:
        torch.distributed.destroy_process_group()


def _collect_as_rank(rank: int, folder: str, ifs: fdsl.IFS) -> None:
    # torch.distributed takes precedence over the launcher's variables.
    os.environ.update(RANK="0", WORLD_SIZE="1")
    stream = stream_of(ifs, steps_per_epoch=3)
    with _group(rank, folder):
        found = contents(stream)
        stream.set_epoch(0)
        found = found, pickle.dumps(stream)  # as a spawned worker gets it
    Path(folder, str(rank)).write_bytes(pickle.dumps(found))


# Some builds of torch lack gloo, the one backend that ranks can use without GPUs everywhere.
needs_gloo = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this torch has no gloo",
)


@pytest.mark.slow
@needs_gloo
def test_the_ranks_of_torch_distributed_are_found(ifs: fdsl.IFS, tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_collect_as_rank, args=(str(tmp_path), ifs), nprocs=2)
    for rank in range(2):
        expected = contents(stream_of(ifs, rank=rank, world_size=2), 3)
        found, stream = pickle.loads((tmp_path / str(rank)).read_bytes())
        assert found == expected
        assert contents(pickle.loads(stream)) == expected


def _train_as_rank(rank: int, folder: str, stream: Stream) -> None:
    with _group(rank, folder):
        found = contents(stream) + contents(loader_of(stream, 1, "spawn"))
        if hasattr(os, "fork"):
            found += contents(loader_of(stream, 2, "fork"))
    Path(folder, str(rank)).write_bytes(pickle.dumps(found))


@pytest.mark.slow
@needs_gloo
@pytest.mark.parametrize(
    "method",
    [
        pytest.param("spawn", marks=pytest.mark.slow),
        pytest.param("fork", marks=needs_fork),
    ],
)
def test_ranks_that_are_started_with_a_stream_see_their_slices(
    ifs: fdsl.IFS, tmp_path: Path, method: str
) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    for copied in (stream, copy.deepcopy(stream)):
        (tmp_path / "store").unlink(missing_ok=True)
        torch.multiprocessing.start_processes(
            _train_as_rank, args=(str(tmp_path), copied), nprocs=2, start_method=method
        )
        for rank in range(2):
            # Each of them counts its own epochs.
            expected = contents(stream_of(ifs, rank=rank, world_size=2), 9)
            found = pickle.loads((tmp_path / str(rank)).read_bytes())
            assert found == expected[: len(found)]
            assert len(found) >= 6
        if method == "fork":
            break
    assert contents(stream) == contents(stream_of(ifs), 3)


def test_a_stream_tells_its_rank(ifs: fdsl.IFS) -> None:
    assert (stream_of(ifs).rank, stream_of(ifs).world_size) == (0, 1)
    stream = stream_of(ifs, rank=1, world_size=3)
    assert (stream.rank, stream.world_size) == (1, 3)
    for name in ("rank", "world_size", "num_threads"):
        with pytest.raises(AttributeError, match=name):
            setattr(stream, name, 2)
