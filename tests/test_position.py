"""Where a stream stands: epochs, and stopping and resuming."""

import multiprocessing
import pickle
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")  # an optional package, which all of this file needs

import fdsl
from fdsl.torch import Loader, Stream
from fdsl.torch.position import Position, pool_number
from streams import BATCH, contents, images_of, loader_of, needs_fork, singles, stream_of

pytestmark = pytest.mark.usefixtures("no_launcher")


# Epochs


@pytest.mark.parametrize(
    "workers, method, more",
    [
        (0, "fork", {}),
        (2, "fork", {}),
        (5, "fork", {"persistent_workers": True}),
        pytest.param(2, "spawn", {"persistent_workers": True}, marks=pytest.mark.slow),
        pytest.param(1, "spawn", {}, marks=pytest.mark.slow),
    ],
)
def test_epochs_advance_and_a_loaded_position_is_used_once(
    ifs: fdsl.IFS, workers: int, method: str, more: dict[str, Any]
) -> None:
    endless = contents(stream_of(ifs), 24)
    stream = stream_of(ifs, steps_per_epoch=4)
    loader = loader_of(stream, workers, method, **more)
    stream.load_state_dict({"samples": 6 * BATCH})
    assert contents(loader) == endless[6:8]
    assert len(loader) == len(stream) == 4
    assert contents(loader) == endless[8:12]
    assert stream.state_dict(batches=4) == {"samples": 12 * BATCH}
    assert contents(loader) == endless[12:16]
    for epoch in (3, 1):
        stream.set_epoch(epoch)
        assert contents(loader) == endless[4 * epoch : 4 * epoch + 4]
    stream.load_state_dict({"samples": 21 * BATCH})
    stream.set_epoch(5)
    assert contents(loader) == endless[21:]
    stream.set_epoch(0)
    assert contents(loader) == endless[:4]
    assert stream.epoch == 0


@needs_fork
def test_epochs_advance_when_all_workers_have_the_same_seeds(ifs: fdsl.IFS) -> None:
    endless = contents(stream_of(ifs), 12)
    stream = stream_of(ifs, steps_per_epoch=4)
    for epoch in range(3):
        torch.manual_seed(0)
        assert contents(loader_of(stream, workers=2)) == endless[4 * epoch : 4 * epoch + 4]


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("persistent", [False, True])
def test_several_loaders_of_one_stream_may_run_at_once(ifs: fdsl.IFS, persistent: bool) -> None:
    endless = contents(stream_of(ifs), 40)
    epochs = [endless[first : first + 4] for first in range(0, 40, 4)]
    stream = stream_of(ifs, steps_per_epoch=4)
    loaders = [loader_of(stream, workers=3, persistent_workers=persistent) for _ in range(2)]
    for _ in range(3):
        for found in zip(*zip(*loaders, strict=True), strict=True):
            assert contents(found) in epochs


@needs_fork
@pytest.mark.parametrize("workers", [[2] * 5, [2, 3, 2, 3, 2]])
def test_epochs_advance_when_loaders_take_turns(ifs: fdsl.IFS, workers: list[int]) -> None:
    """Each is made again with the seeds of an earlier one, after another has run."""
    endless = contents(stream_of(ifs), 10)
    stream = stream_of(ifs, steps_per_epoch=2)
    for epoch, count in enumerate(workers):
        seed = torch.Generator().manual_seed(epoch % 2 if len({*workers}) == 1 else 0)
        found = contents(loader_of(stream, workers=count, generator=seed))
        assert found == endless[2 * epoch : 2 * epoch + 2]


@needs_fork
def test_a_late_worker_joins_its_own_loader(ifs: fdsl.IFS) -> None:
    """Even if another loader would take the same slot of the shared memory, and has begun."""

    def slot(seed: int) -> int:  # where the loader whose generator has this seed looks first
        base_seed = torch.empty((), dtype=torch.int64).random_(generator=generator(seed)).item()
        return pool_number(int(base_seed), 2) % 64

    def generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    other_has_begun = multiprocessing.get_context("fork").Event()

    def second_is_late(worker: int) -> None:
        if worker == 1:
            assert other_has_begun.wait(60)

    same_slot = next(seed for seed in range(1, 10_000) if slot(seed) == slot(0))
    endless = contents(stream_of(ifs), 8)
    stream = stream_of(ifs, steps_per_epoch=4)
    late = loader_of(stream, workers=2, generator=generator(0), worker_init_fn=second_is_late)
    other = loader_of(stream, workers=2, generator=generator(same_slot))
    first = iter(late)
    begun = contents(first, 1)
    found = contents(other)
    other_has_begun.set()
    assert begun + contents(first) == endless[:4]
    assert found == endless[4:]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_iteration_that_was_left_early_is_over(ifs: fdsl.IFS, workers: int) -> None:
    endless = contents(stream_of(ifs), 8)
    loader = loader_of(stream_of(ifs, steps_per_epoch=4), workers)
    assert contents(loader, 2) == endless[:2]
    assert contents(loader) == endless[4:]


def test_an_iteration_begins_with_its_first_batch(ifs: fdsl.IFS) -> None:
    endless = contents(stream_of(ifs), 8)
    stream = stream_of(ifs, steps_per_epoch=4)
    iter(stream)  # without asking for a batch
    batches = iter(stream)
    stream.set_epoch(1)
    assert contents(batches) == endless[4:]


@needs_fork
def test_an_epoch_set_while_workers_start_is_that_of_the_next_iteration(ifs: fdsl.IFS) -> None:
    endless = contents(stream_of(ifs), 40)
    stream = stream_of(ifs, steps_per_epoch=8)
    loader = loader_of(stream, workers=4, persistent_workers=True)
    for epoch in range(4):
        batches = iter(loader)
        found = contents(batches, 1)
        stream.set_epoch(epoch + 1)
        assert found + contents(batches) == endless[8 * epoch : 8 * epoch + 8]


@needs_fork
def test_a_forked_process_that_is_no_worker_has_its_own_position(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    stream.set_epoch(1)
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sending.send(contents(stream)))
    child.start()
    try:
        assert receiving.poll(30), "the child hangs"
        assert receiving.recv() == contents(stream_of(ifs), 6)[3:]
    finally:
        child.kill()
        child.join()
    assert contents(stream) == contents(stream_of(ifs), 6)[3:]


def test_an_epoch_has_the_given_number_of_steps(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    assert len(stream) == len(loader_of(stream)) == 3
    batches = iter(stream)
    assert len(contents(batches)) == 3
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(batches)


def test_an_endless_stream_has_no_length(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs)
    with pytest.raises(TypeError, match="steps_per_epoch"):
        len(stream)
    assert "endless" in repr(stream)


def test_setting_an_epoch_does_not_change_an_endless_stream(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs)
    stream.load_state_dict({"samples": 2 * BATCH})
    stream.set_epoch(1)
    batches = iter(stream)
    found = contents(batches, 1)
    stream.set_epoch(2)
    assert (stream.epoch, stream.state_dict()) == (0, {"samples": 3 * BATCH})
    assert found + contents(batches, 2) == contents(stream_of(ifs), 5)[2:]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_endless_stream_starts_over_at_the_position_that_was_loaded(
    ifs: fdsl.IFS, workers: int
) -> None:
    endless = contents(stream_of(ifs), 6)
    stream = stream_of(ifs)
    loader = loader_of(stream, workers)
    assert contents(loader, 3) == contents(loader, 3) == endless[:3]
    stream.load_state_dict({"samples": 2 * BATCH})
    assert contents(loader, 3) == contents(loader, 3) == endless[2:5]


@pytest.mark.parametrize("kind", [lambda stream: stream, Loader])
def test_an_endless_stream_that_repeats_its_images_warns(ifs: fdsl.IFS, kind: Any) -> None:
    stream = stream_of(ifs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(iter(kind(stream)))
        stream.load_state_dict({"samples": BATCH})
        next(iter(kind(stream)))
    with pytest.warns(UserWarning, match=f"stream starts again at sample {BATCH}, so its images"):
        next(iter(kind(stream)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = iter(stream)
        batches.load_state_dict({"samples": 3 * BATCH})
        next(batches)
        epochs = kind(stream_of(ifs, steps_per_epoch=3))
        for _ in range(3):
            next(iter(epochs))


def test_epochs_differ_and_each_repeats_when_asked_to(ifs: fdsl.IFS) -> None:
    endless = contents(stream_of(ifs), 9)
    stream = stream_of(ifs, steps_per_epoch=3)
    for epoch in (2, 0, 1, 1, 2):
        stream.set_epoch(epoch)
        assert stream.epoch == epoch
        assert contents(stream) == endless[3 * epoch : 3 * epoch + 3]
        assert stream.epoch == epoch
    assert len(set(images_of(singles(endless)))) == 9 * BATCH


@pytest.mark.parametrize("epoch, error", [(-1, ValueError), (1.5, TypeError)])
def test_an_impossible_epoch_is_refused(ifs: fdsl.IFS, epoch: Any, error: type[Exception]) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    with pytest.raises(error, match=str(epoch)):
        stream.set_epoch(epoch)
    assert stream.epoch == 0


# Stopping and resuming


def test_resume_equals_never_having_stopped(ifs: fdsl.IFS) -> None:
    never_stopped = contents(stream_of(ifs), 9)
    for taken in (0, 1, 4):
        stream = stream_of(ifs)
        contents(stream, taken)
        state = stream.state_dict()
        assert state == {"samples": taken * BATCH}
        resumed = stream_of(ifs)
        resumed.load_state_dict(state)
        assert contents(resumed, 3) == never_stopped[taken : taken + 3]
        again = stream_of(ifs)  # and resumed once more
        again.load_state_dict(resumed.state_dict())
        assert contents(again, 2) == never_stopped[taken + 3 : taken + 5]


@pytest.mark.parametrize("before, after", [(0, 2), (2, 0), (2, 3)])
def test_resume_with_a_different_number_of_workers_equals_never_having_stopped(
    ifs: fdsl.IFS, before: int, after: int
) -> None:
    never_stopped = contents(stream_of(ifs), 10)
    stream = stream_of(ifs)
    contents(loader_of(stream, before), 3)
    state = stream.state_dict(batches=3)
    assert state == {"samples": 3 * BATCH}
    resumed = stream_of(ifs)
    resumed.load_state_dict(state)
    assert contents(loader_of(resumed, after), 5) == never_stopped[3:8]
    assert resumed.state_dict(batches=5) == {"samples": 8 * BATCH}


@pytest.mark.parametrize("workers, taken", [(0, 6), (1, 6), (2, 0), (2, 12)])
def test_single_samples_resume_where_those_taken_are_the_first(
    ifs: fdsl.IFS, workers: int, taken: int
) -> None:
    never_stopped = singles(contents(stream_of(ifs, batch_size=1), 24))
    about: dict[str, Any] = {"batch_size": None, "steps_per_epoch": 12}
    stream = stream_of(ifs, **about)
    found = singles(contents(loader_of(stream, workers, batch_size=3), taken // 3))
    resumed = stream_of(ifs, **about)
    resumed.load_state_dict(stream.state_dict(batches=taken))
    found += singles(contents(loader_of(resumed, 2, batch_size=3)))
    assert sorted(found) == sorted(never_stopped[: 24 if taken == 12 else 12])


def test_single_samples_of_several_workers_have_no_state_within_an_epoch(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, batch_size=None, steps_per_epoch=12)
    loader = loader_of(stream, 2, batch_size=3)
    batches = iter(loader)
    next(batches)
    with pytest.raises(RuntimeError, match=r"2 workers deal out .* end of an epoch, .* batch_size"):
        stream.state_dict(batches=3)
    del batches
    endless = stream_of(ifs, batch_size=None)
    contents(loader_of(endless, 2, batch_size=3), 1)
    with pytest.raises(RuntimeError, match="may not be the first ones: use at most one worker"):
        endless.state_dict(batches=3)
    stream.set_epoch(3)  # of which nothing was taken
    assert stream.state_dict(batches=0) == {"samples": 36}
    assert stream.state_dict(batches=6) == {"samples": 42}


@pytest.mark.parametrize("workers", [0, 2])
def test_more_batches_than_a_pass_has_are_refused(ifs: fdsl.IFS, workers: int) -> None:
    stream = stream_of(ifs, steps_per_epoch=5)
    stream.load_state_dict({"samples": 2 * BATCH})
    contents(loader_of(stream, workers))
    assert stream.state_dict(batches=3) == {"samples": 5 * BATCH}
    with pytest.raises(ValueError, match="at most 3, what the current pass has, got 4: count from"):
        stream.state_dict(batches=4)
    contents(loader_of(stream, workers))
    assert stream.state_dict(batches=5) == {"samples": 10 * BATCH}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_epoch_is_finished(ifs: fdsl.IFS, workers: int) -> None:
    never_stopped = contents(stream_of(ifs), 15)
    stream = stream_of(ifs, steps_per_epoch=5)
    stream.set_epoch(1)
    contents(loader_of(stream, workers), 2)
    resumed = stream_of(ifs, steps_per_epoch=5)
    resumed.load_state_dict(stream.state_dict(batches=2))
    loader = loader_of(resumed, workers)
    found = []
    assert resumed.epoch == 1
    for epoch in range(resumed.epoch, 3):
        resumed.set_epoch(epoch)
        assert len(resumed) == len(loader) == 5
        found += contents(loader)
    assert found == never_stopped[7:]


def test_a_state_taken_after_the_last_batch_starts_the_next_epoch(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    contents(stream)
    resumed = stream_of(ifs, steps_per_epoch=3)
    resumed.load_state_dict(stream.state_dict())
    assert (resumed.epoch, len(resumed)) == (1, 3)
    assert contents(resumed) == contents(stream_of(ifs), 6)[3:]


def test_setting_the_current_epoch_keeps_the_loaded_position(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=5)
    stream.load_state_dict({"samples": 7 * BATCH})
    stream.set_epoch(1)
    assert stream.state_dict() == {"samples": 7 * BATCH}
    assert len(contents(stream)) == 3
    stream.set_epoch(1)  # the loaded position is used up: this repeats the epoch
    assert len(contents(stream)) == 5
    stream.load_state_dict({"samples": 7 * BATCH})
    stream.set_epoch(0)
    stream.set_epoch(1)
    assert len(contents(stream)) == 5


@pytest.mark.parametrize("steps", [None, 3])
def test_ranks_may_change_while_the_global_batch_stays(ifs: fdsl.IFS, steps: int | None) -> None:
    one = stream_of(ifs, batch_size=8, steps_per_epoch=steps)
    never_stopped = singles(contents(stream_of(ifs, batch_size=8), 3))
    contents(one, 2)
    ranks = []
    for rank in range(4):
        stream = stream_of(ifs, batch_size=2, steps_per_epoch=steps, rank=rank, world_size=4)
        stream.load_state_dict(one.state_dict())
        ranks += contents(stream, 1)
    assert singles(ranks) == never_stopped[16:]


def test_the_state_needs_the_batches_taken_when_workers_iterate(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=5)
    contents(loader_of(stream, workers=2), 2)
    with pytest.raises(RuntimeError, match="batches"):
        stream.state_dict()
    assert stream.state_dict(batches=2) == {"samples": 2 * BATCH}
    stream.set_epoch(1)  # none of its batches has been taken
    assert stream.state_dict() == {"samples": 5 * BATCH}


def test_looking_at_a_batch_first_does_not_hide_that_workers_iterate(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs)
    next(iter(stream))
    contents(loader_of(stream, workers=2), 3)
    with pytest.raises(RuntimeError, match="batches"):
        stream.state_dict()


def test_iterating_in_this_process_after_workers_needs_no_batches(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs)
    contents(loader_of(stream, workers=2), 3)
    contents(stream, 2)
    assert stream.state_dict() == {"samples": 2 * BATCH}


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        "samples",
        {},
        {"epoch": 1},
        {"samples": None},
        {"samples": "many"},
        {"samples": 1.5},
        {"samples": -BATCH},
    ],
    ids=str,
)
def test_a_bad_state_is_refused_and_changes_nothing(ifs: fdsl.IFS, state: Any) -> None:
    stream = stream_of(ifs)
    stream.load_state_dict({"samples": 2 * BATCH})
    with pytest.raises(ValueError):
        stream.load_state_dict(state)
    assert stream.state_dict() == {"samples": 2 * BATCH}


@pytest.mark.parametrize("batches, error", [(-1, ValueError), (0.5, TypeError)])
def test_an_impossible_number_of_batches_is_refused(
    ifs: fdsl.IFS, batches: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=str(batches)):
        stream_of(ifs).state_dict(batches=batches)


def _stateful_loader(stream: Stream, workers: int) -> Any:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    context = "fork" if workers else None
    return stateful.StatefulDataLoader(
        stream, batch_size=None, num_workers=workers, multiprocessing_context=context
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=needs_fork)])
@pytest.mark.parametrize("taken", [1, 3])
@pytest.mark.parametrize("looked_at", [0, 6], ids=["", "after-looking"])
def test_the_loader_of_torchdata_resumes(
    ifs: fdsl.IFS, workers: int, taken: int, looked_at: int
) -> None:
    never_stopped = contents(stream_of(ifs), 18)
    stream = stream_of(ifs, steps_per_epoch=6)
    contents(stream, looked_at)
    loader = _stateful_loader(stream, workers)
    stream.set_epoch(1)
    batches = iter(loader)
    assert contents(batches, taken) == never_stopped[6 : 6 + taken]
    state = pickle.loads(pickle.dumps(loader.state_dict()))
    assert contents(batches) == never_stopped[6 + taken : 12]

    resumed = stream_of(ifs, steps_per_epoch=6)
    loader = _stateful_loader(resumed, workers)
    loader.load_state_dict(state)
    assert contents(loader) == never_stopped[6 + taken : 12]
    assert contents(loader) == never_stopped[12:]
    resumed.set_epoch(2)
    assert contents(loader) == never_stopped[12:]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=needs_fork)])
def test_the_loader_of_torchdata_continues_after_a_whole_epoch(ifs: fdsl.IFS, workers: int) -> None:
    never_stopped = contents(stream_of(ifs), 12)
    loader = _stateful_loader(stream_of(ifs, steps_per_epoch=4), workers)
    assert contents(loader) == never_stopped[:4]
    loader_again = _stateful_loader(stream_of(ifs, steps_per_epoch=4), workers)
    loader_again.load_state_dict(loader.state_dict())
    for either in (loader, loader_again):
        assert contents(either) == never_stopped[4:8]
        assert contents(either) == never_stopped[8:]


@pytest.mark.parametrize(
    "state",
    [None, {}, *({"samples": n} for n in ("x", 9, 0, 40 * BATCH, 2**63))],
    ids=str,
)
@pytest.mark.parametrize("begun", [False, True])
def test_an_iterator_refuses_a_bad_state(ifs: fdsl.IFS, state: Any, begun: bool) -> None:
    stream = stream_of(ifs, steps_per_epoch=6)
    stream.load_state_dict({"samples": 6 * BATCH})
    batches: Any = iter(stream)
    contents(batches, int(begun))
    before = batches.state_dict()
    with pytest.raises(ValueError, match="samples"):
        batches.load_state_dict(state)
    assert batches.state_dict() == before
    batches.load_state_dict({"samples": 8 * BATCH})
    assert contents(batches) == contents(stream_of(ifs), 12)[8:]


# DataLoaders that collate


def test_a_worker_that_is_left_behind_does_not_skip_a_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = Position()
    other = Position.__new__(Position)
    other.__dict__.update(one.__dict__)  # as in a second worker, with the same shared memory

    def joined(position: Position) -> tuple[int, int]:
        worker = SimpleNamespace(id=int(position is other), num_workers=2, seed=9)
        worker.seed += worker.id
        monkeypatch.setattr("fdsl.torch.position.get_worker_info", lambda: worker)
        return position.join(length=8)[:2]

    assert [joined(one), joined(other), joined(one)] == [(0, 0), (0, 0), (1, 0)]
    assert [joined(other), joined(one), joined(one)] == [(1, 0), (2, 0), (3, 0)]
    with pytest.raises(RuntimeError, match="two passes over the stream ahead of this one"):
        joined(other)


@pytest.mark.parametrize("workers", [1, 2])
def test_two_loaders_with_the_same_seed_one_after_the_other_do_not_share_an_epoch(
    ifs: fdsl.IFS, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = stream_of(ifs, steps_per_epoch=3)
    # Forked, for capfd: it does not see what workers of Python 3.14's fork server print.
    one, other = (
        loader_of(
            stream, workers, persistent_workers=True, generator=torch.Generator().manual_seed(0)
        )
        for _ in range(2)
    )
    found = contents(one) + contents(other)
    assert found == contents(stream_of(ifs), 6)
    with pytest.raises(RuntimeError):  # torch only says that a worker ended, which printed why
        list(one)
    assert "two DataLoaders with the same seed iterate over this stream" in capfd.readouterr().err


def test_a_state_between_two_batches_is_refused(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, steps_per_epoch=6)
    with pytest.raises(ValueError, match="not a whole number of batches"):
        stream.load_state_dict({"samples": BATCH + 1})
