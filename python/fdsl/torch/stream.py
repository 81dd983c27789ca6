"""Endless samples, in an order that depends on the seed alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from torch.utils.data._utils.collate import default_collate_fn_map  # its documented way in

from fdsl._checks import (
    checked_positive,
    checked_seed,
    checked_share,
    checked_threads,
    checked_type,
    checked_whole,
    renamed,
)
from fdsl.families import Family
from fdsl.families.thumbnails import thumbnails
from fdsl.frame import Frame
from fdsl.job import Job
from fdsl.targets import checked_target, render_batch
from fdsl.torch.position import AHEAD, HERE, Position
from fdsl.torch.ranks import (
    checked_ranks,
    ranks_of_distributed,
    ranks_of_launcher,
    refuse_second_split,
)
from fdsl.torch.tensors import channels_first, checked_transform, tensors, transformed

#: Images and their targets, or one of each.
Sample = tuple[Tensor, Any]

#: An iteration starts below this sample number; a stream ends at twice as many.
SAMPLES = 2**62


class Batch(NamedTuple):
    """Images, uint8 (B, C, H, W) or what a transform made of them, and targets: labels are int64
    (B,)."""

    images: Tensor
    targets: Any


def _refuse_batches(_: Any, *, collate_fn_map: Any = None) -> NoReturn:
    raise ValueError(
        "a Stream yields whole batches: give its DataLoader batch_size=None "
        "(or the Stream, for single samples that the DataLoader collates)"
    )


default_collate_fn_map[Batch] = _refuse_batches
if hasattr(torch.serialization, "add_safe_globals"):  # torch 2.4; what is saved can be loaded
    torch.serialization.add_safe_globals([Batch])


class Stream(IterableDataset[Sample]):
    """Batches of images, endless or in epochs, the same for any number of workers and ranks.

    Every block of ``len(family)`` samples has each category once, in random order; each category
    goes through its instances in a random order of its own. Sample n is a pure function of
    (seed, n), so a stream can start at any sample right away.

    Use it with ``DataLoader(stream, batch_size=None, num_workers=…)``, or with ``Loader``. It
    renders with all cores in this process and with one in a worker. Workers take turns at batches,
    and each rank takes its slice of every global batch: all ranks together see what one rank with
    the global batch would see.

    With ``steps_per_epoch`` each iteration is one epoch, and the next iteration is the next epoch;
    nothing repeats unless ``set_epoch`` asks for it. The first iteration after ``load_state_dict``
    is the rest of its epoch. An iteration begins when its first batch is requested, or, in workers,
    when the DataLoader is iterated. Looking at one batch is an iteration, too.

    An endless stream is a single epoch. Each iteration starts it over, at the first sample or where
    ``load_state_dict`` said: keep its iterator, or give ``steps_per_epoch``.

    Args:
        family: the categories; a label is a category's number.
        rendering: how images are rendered; the family's defaults if not given.
        target: what to learn: ``"label"``; or, where the family offers it, ``"labels"``,
            ``"mask"`` or ``"boxes"``.
        batch_size: samples per batch and rank. ``None`` yields single samples, uint8
            (C, H, W) and int64 (), for a DataLoader that collates. The order then depends on
            ``num_workers``: sample n goes to worker n mod W, and each worker fills batches of
            its own. Collating costs a copy of each batch and a call for each sample.
        seed: of the stream, and of every address in it.
        steps_per_epoch: batches (samples, if ``batch_size=None``) per epoch, on every rank. Gives
            the stream a length, which a resume does not change. ``None`` is endless.
        instances: each category has only this many instances, which are repeated (paper,
            Figure 4); ``None`` never repeats one.
        label_noise: share of the images, 0…1, whose label is picked at random from all categories
            (paper, Figure 5). It depends on the address alone: an image keeps its label, and
            raising the noise keeps the labels that were already random. The images and their order
            do not change.
        transform: called with the images where they are rendered, on the CPU, in a worker or in
            the thread of a ``Loader``: uint8 (B, C, H, W), or (C, H, W) if ``batch_size=None``.
            Any callable or module; no gradients are recorded. It does not see the target: do not
            move images away from their mask or boxes. It uses the random state of its process,
            which a resume does not restore.
        rank: of this process. If not given, that of ``torch.distributed``, else torchrun's
            ``RANK``, else 0, looked up whenever an iteration begins. Copies and workers inherit
            the rank found, unless they find their own.
        world_size: number of ranks; found like ``rank``.
        num_threads: that render. If not given, one in a worker and all cores elsewhere.

    Yields:
        (images, targets): uint8 (B, C, H, W) with C = 1, or 3 in color (then with channels-last
        strides), or what ``transform`` returned; and the targets. ``"label"``: int64 (B,).
        ``"labels"``: float32 (B, C), 1 for the category of each visible object. ``"mask"``: int64
        (B, H, W), 0 for background, else category + 1. ``"boxes"``: for each image a dict, as
        torchvision's detection models take them: ``boxes`` float32 (N, 4), left, top, right,
        bottom; ``labels`` int64 (N,), category + 1; ``masks`` uint8 (N, H, W).

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: an argument is out of range.
    """

    @renamed(threads="num_threads")
    def __init__(
        self,
        family: Family,
        *,
        rendering: Frame | None = None,
        target: str = "label",
        batch_size: int | None = 256,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        instances: int | None = None,
        label_noise: float = 0.0,
        transform: Callable[[Any], Any] | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.family: Family = checked_type("family", family, Family)
        self.rendering: Frame = family.checked_style(rendering)
        self.batch_size = None if batch_size is None else checked_positive("batch_size", batch_size)
        self.seed = checked_seed(seed)
        self.steps_per_epoch = (
            None
            if steps_per_epoch is None
            else checked_positive("steps_per_epoch", steps_per_epoch)
        )
        if self.steps_per_epoch is not None and self.steps_per_epoch >= SAMPLES:
            raise ValueError(f"steps_per_epoch must be less than 2**62, got {steps_per_epoch}")
        self.instances = None if instances is None else checked_positive("instances", instances)
        self.label_noise = checked_share("label_noise", label_noise)
        self.target = checked_target(family, target, self.label_noise)
        self.transform = checked_transform("transform", transform)
        self.num_threads = checked_threads(num_threads)
        if (rank is None) != (world_size is None):
            raise ValueError(f"give rank and world_size both or neither, got {rank}, {world_size}")
        self._ranks = None if rank is None else checked_ranks(rank, world_size)
        self._found: tuple[int, int] | None = None  # rank and world size of the parent process
        self._position = Position()
        self._running: StreamIterator | None = None
        #: How many times the position was set.
        self.times_set = 0

    @property
    def epoch(self) -> int:
        """The epoch of the last iteration, or of the next one if it was set since."""
        return self._position.current()[0]

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next iteration; persistent workers see it, too.

        Without it, the next iteration is the next epoch. Setting an epoch again repeats it. After
        ``load_state_dict``, setting the epoch that was loaded keeps the position within it. An
        endless stream has one epoch and ignores this.

        Raises:
            TypeError, ValueError: there can be no such epoch.
            ValueError: Accelerate calls this and would split each rank's share once more.
        """
        refuse_second_split(self._resolved_ranks()[1])
        number = checked_whole("epoch", epoch)
        samples = self._epoch_samples()
        if samples is None:
            return
        if number * samples >= SAMPLES:
            raise ValueError(
                f"epoch must start before sample 2**62, got {epoch} (an epoch has {samples})"
            )
        following, seen = self._position.next()
        self._set_position(number, seen if number == following else 0)

    def state_dict(self, batches: int | None = None) -> dict[str, int]:
        """Returns {"samples": n}: how many samples all ranks together have seen.

        Args:
            batches: how many batches of this iteration the training loop has taken. Required
                with DataLoader workers, which run ahead of the loop (a ``Loader`` keeps count
                itself). If not given, counts what this process's last iterator has yielded.

        Raises:
            RuntimeError: workers or a loader iterate, and ``batches`` is not given.
        """
        if batches is not None:
            taken = checked_whole("batches", batches) * self._global_batch()
            return {"samples": self._samples(*self._position.current()) + taken}
        if get_worker_info() is not None and self._running is not None:
            return {"samples": self._running.start}  # its iterator has a state of its own
        begun_by = self._position.begun_by()
        if begun_by == AHEAD:
            raise RuntimeError(
                "workers and loaders run ahead of the training loop: say how many batches of this "
                "iteration it has taken, state_dict(batches=…), or ask the Loader"
            )
        if begun_by == HERE and self._running is not None:
            return self._running.state_dict()
        return {"samples": self.next_sample()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next iteration start where ``state`` was taken, with any number of workers.

        That iteration is the rest of the epoch, and the one after it is the next epoch. The number
        of ranks may change as long as the global batch stays the same.

        Raises:
            ValueError: it is not the state of such a stream.
        """
        samples = checked_samples(state)
        epoch = self._epoch_samples()
        if epoch is not None and samples % self._global_batch():
            raise ValueError(
                f"{samples} samples are not a whole number of batches of {self._global_batch()} "
                "(of all ranks together): the state is of another stream"
            )
        self._set_position(*((0, samples) if epoch is None else divmod(samples, epoch)))

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        if worker is None:
            return StreamIterator(self)
        iterator = StreamIterator(self, worker.id, worker.num_workers)
        # Here and not at the first batch: a DataLoader waits for this before it goes on.
        iterator.begin_at(*self._position.join(endless=self.steps_per_epoch is None))
        self._running = iterator
        return iterator

    def __len__(self) -> int:
        """Batches per epoch; the first iteration after a resume may have fewer."""
        if self.steps_per_epoch is None:
            raise TypeError("an endless stream has no length: give it steps_per_epoch")
        return self.steps_per_epoch

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker knows neither torch.distributed nor what iterates here.
        found = ranks_of_distributed() or self._found or ranks_of_launcher()
        return {**self.__dict__, "_found": found, "_running": None}

    def __repr__(self) -> str:
        length = "endless" if self.steps_per_epoch is None else f"{self.steps_per_epoch} steps"
        return f"<Stream: {len(self.family)} categories, batch_size={self.batch_size}, {length}>"

    def _repr_png_(self) -> bytes | None:
        """Returns the first samples, small, which notebooks show."""
        first = self.family.order(np.arange(32, dtype=np.uint64), self.instances, self.seed)
        return thumbnails(self.family, self.rendering, first, self.seed)

    def _set_position(self, epoch: int, seen: int) -> None:
        self._position.set(epoch, seen)
        self.times_set += 1

    def _begin(self, iterator: StreamIterator, *, ahead: bool) -> None:
        """Begins the next iteration, by an iterator of this process."""
        endless = self.steps_per_epoch is None
        iterator.begin_at(*self._position.begin(AHEAD if ahead else HERE, endless=endless))
        self._running = None if ahead else iterator

    def _resolved_ranks(self) -> tuple[int, int]:
        found = self._ranks or ranks_of_distributed() or self._found or ranks_of_launcher()
        return found or (0, 1)

    def _global_batch(self) -> int:
        return (self.batch_size or 1) * self._resolved_ranks()[1]

    def _epoch_samples(self) -> int | None:
        return self.steps_per_epoch and self.steps_per_epoch * self._global_batch()

    def _samples(self, epoch: int, seen: int) -> int:
        return epoch * (self._epoch_samples() or 0) + seen

    def next_sample(self) -> int:
        """Returns the sample that the next iteration starts at, counted over all ranks."""
        return self._samples(*self._position.next())

    def _threads(self) -> int | None:
        return 1 if self.num_threads is None and get_worker_info() is not None else self.num_threads


class StreamIterator(Iterator[Sample]):
    """Yields batches w, w + W, … of an iteration, for worker w of W."""

    #: Single samples are rendered this many at a time; one at a time would keep one core busy.
    SINGLES_AT_ONCE = 32

    def __init__(
        self,
        stream: Stream,
        worker: int = 0,
        workers: int = 1,
        empty: Callable[[tuple[int, ...]], Tensor] | None = None,
    ) -> None:
        """``empty`` allocates the memory to render into: contiguous uint8 of a given shape."""
        self._stream, self._worker, self._workers = stream, worker, workers
        self._empty = empty or _empty
        self._singles: deque[Sample] = deque()
        self._begun = False

    def begin_at(self, epoch: int, seen: int) -> None:
        """Starts the iteration after ``seen`` samples of an epoch."""
        stream = self._stream
        self._rank, self.global_batch = stream._resolved_ranks()[0], stream._global_batch()
        self.start = stream._samples(epoch, seen)
        steps = stream.steps_per_epoch
        self._batches = None if steps is None else steps - seen // self.global_batch
        self._next = self._worker
        self._begun = True

    def __next__(self) -> Sample:
        stream = self._stream
        if not self._begun:
            stream._begin(self, ahead=False)
        if self._batches is not None and self._next >= self._batches:
            raise StopIteration
        if stream.batch_size is None:
            sample: Sample = self._single()
        else:
            sample = Batch(*self._render([self._next]))
        self._next += self._workers
        if stream.transform is None:
            return sample
        images, targets = sample
        with torch.no_grad():
            images = transformed(stream.transform, images)
        return (images, targets) if stream.batch_size is None else Batch(images, targets)

    def state_dict(self) -> dict[str, int]:
        """Where the next batch starts, counted in samples of all ranks."""
        if not self._begun:
            return {"samples": self._stream.next_sample()}
        return {"samples": self.start + self._next * self.global_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes to where ``state_dict`` was, in the same iteration.

        Raises:
            ValueError: it is not the state of such an iterator.
        """
        samples, stream = checked_samples(state), self._stream
        epoch, seen = stream._position.next()
        start = self.start if self._begun else stream._samples(epoch, seen)
        global_batch = self.global_batch if self._begun else stream._global_batch()
        steps = stream.steps_per_epoch
        left = self._batches if self._begun else steps and steps - seen // global_batch
        number, rest = divmod(samples - start, global_batch)
        turn = (number - self._worker) % self._workers
        if rest or turn or number < 0 or (left is not None and number >= left + self._workers):
            raise ValueError(
                f"{samples} samples are not in this iteration, which starts at {start} with "
                f"batches of {global_batch} (of all ranks together): the state is of another"
            )
        if not self._begun:
            if number == 0:
                return  # the first batch will begin it
            stream._begin(self, ahead=False)
        self._next = number
        self._singles.clear()

    def _single(self) -> Sample:
        if not self._singles:
            end = self._next + self.SINGLES_AT_ONCE * self._workers
            if self._batches is not None:
                end = min(end, self._batches)
            images, targets = self._render(range(self._next, end, self._workers))
            self._singles.extend(zip(images, targets, strict=True))
        return self._singles.popleft()

    def _render(self, batches: Sequence[int]) -> Sample:
        stream = self._stream
        size = stream.batch_size or 1
        firsts = [self.start + batch * self.global_batch + self._rank * size for batch in batches]
        if firsts[-1] + size > 2 * SAMPLES:
            raise ValueError(f"a stream has 2**63 samples, and {firsts[-1]} is too near its end")
        within = np.arange(size, dtype=np.uint64)
        numbers = np.add.outer(np.array(firsts, np.uint64), within).ravel()
        images = self._empty((len(numbers), *stream.rendering.image_shape))
        targets = render_batch(
            stream.family,
            Job(stream.rendering, stream.seed, stream._threads()),
            numbers,
            images.numpy(),
            stream.target,
            instances=stream.instances,
            label_noise=stream.label_noise,
        )
        return channels_first(images), tensors(targets)


def checked_samples(state: dict[str, int]) -> int:
    """Returns the samples of a stream's state, if it is one."""
    try:
        samples = checked_whole("samples", state["samples"])
    except (KeyError, TypeError):
        raise ValueError(
            f"expected the state of a stream, {{'samples': n}}, got {state!r}"
        ) from None
    if samples >= SAMPLES:
        raise ValueError(f"samples must be less than 2**62, got {samples}")
    return samples


def _empty(shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=torch.uint8)
