"""Endless samples, in an order that depends only on the seed."""

from __future__ import annotations

import copy
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from torch.utils.data._utils.collate import default_collate_fn_map

from fdsl._checks import (
    Numbers,
    checked_fraction,
    checked_numbers,
    checked_positive,
    checked_seed,
    checked_threads,
    checked_type,
    checked_whole,
    counted,
    renamed,
)
from fdsl.dataset import Dataset
from fdsl.families import Family
from fdsl.families.thumbnails import thumbnails
from fdsl.frame import Frame
from fdsl.job import Job
from fdsl.targets import TargetName, checked_target, render_batch
from fdsl.torch.position import BY_LOOP, BY_PREFETCHER, Position, within
from fdsl.torch.ranks import (
    checked_ranks,
    ranks_of_distributed,
    ranks_of_launcher,
    refuse_second_split,
)
from fdsl.torch.tensors import (
    apply_transform,
    apply_transforms,
    as_tv_tensors,
    channels_first,
    checked_transform,
    checked_transforms,
    map_arrays,
    to_tensors,
)

#: A batch of images and their targets, or a single image and its target.
Item = tuple[Tensor, Any]

#: Every pass starts below this sample number. The stream itself ends at twice this number.
MAX_START = 2**62

#: What a stream is made of. Workers have copies of it and render ahead, so a change would come too
#: late, or not at all.
FIXED = {
    *("family", "rendering", "target", "label_noise", "cache", "batch_size", "seed"),
    *("steps_per_epoch", "instances", "transform", "target_transform", "transforms"),
    "num_threads",
}


class Batch(NamedTuple):
    """One batch of a stream.

    ``images`` is uint8 (B, C, H, W), or the output of the transform. With ``target="label"``,
    ``targets`` is int64 (B,).
    """

    images: Tensor
    targets: Any


def _refuse_batches(_: Any, *, collate_fn_map: Any = None) -> NoReturn:
    raise ValueError(
        "a Stream yields whole batches: create its DataLoader with batch_size=None "
        "(or create the Stream with batch_size=None, for single samples that the DataLoader "
        "collates); to join batches by hand, use torch.cat"
    )


# torch documents this dictionary as the extension point for custom collation.
default_collate_fn_map[Batch] = _refuse_batches
# torch ≥ 2.4: allow a saved Batch to be loaded with weights_only=True.
if hasattr(torch.serialization, "add_safe_globals"):
    torch.serialization.add_safe_globals([Batch])


class Stream(IterableDataset[Item]):
    """Batches of images, endless or in epochs, the same for any number of workers and ranks.

    Every block of ``len(family)`` samples contains each category exactly once, in random order.
    Each category also goes through its instances in random order. Sample n is a pure function of
    (seed, n), so a stream can start at any sample right away.

    Use it with ``DataLoader(stream, batch_size=None, num_workers=…)``, or with ``Loader``. It
    uses all cores in the main process and one core per worker. Batches are dealt to workers
    round-robin, and each rank takes its slice of every global batch: all ranks together see what
    one rank with the global batch would see.

    With ``steps_per_epoch`` each pass over the stream is one epoch, and the next pass is the next
    epoch; nothing repeats unless you call ``set_epoch``. The first pass after ``load_state_dict``
    finishes the interrupted epoch. A pass begins when its first batch is requested, or, with
    workers, when the first worker starts, shortly after the DataLoader creates its iterator. Even
    a pass from which you take a single batch uses up an epoch. Two DataLoaders that iterate at the
    same time with the same seed (``generator``) need a copy of the stream each.

    An endless stream is a single epoch. Each new iterator restarts it, from the first sample or
    the restored position, with a warning: reuse one iterator or set ``steps_per_epoch``.

    The settings of a stream cannot be changed. To change them during training, create another
    stream and load the state of the first.

    Args:
        family: the categories; the label of an image is the number of its category.
        rendering: how images are rendered; by default the family's own settings.
        target: what to learn: ``"label"``; or, if the family offers it, ``"labels"``, ``"mask"``
            or ``"boxes"``.
        batch_size: samples per batch and rank. ``None`` yields single samples, uint8
            (C, H, W) and int64 (), for a DataLoader that collates. The order then depends on
            ``num_workers``: sample n goes to worker n mod W, and each worker fills separate
            batches. With several workers, only torchdata's ``StatefulDataLoader`` resumes within
            an epoch. Collating adds a copy per batch and a Python call per sample.
        seed: the seed of the stream's order and of every address in it.
        steps_per_epoch: batches (samples, if ``batch_size=None``) per epoch, on every rank. Gives
            the stream a length, which resuming does not change. ``None``: endless.
        instances: the number of instances per category, which are then repeated (paper,
            Figure 4). With ``flips=True`` the first four are flips of one image, and the first
            forty of a fractal have the same variation. ``None``: instances never repeat.
        label_noise: fraction of the images, 0…1, whose label is picked at random from all
            categories (paper, Figure 5). The label depends only on the address: it is the same
            every time the image appears, and raising the noise keeps the labels that were already
            random. The images and their order do not change.
        cache: whether to render all ``len(family) * instances`` images now and take every batch
            from memory, as ``fdsl.Dataset(cache=True)`` does; needs ``instances``. The batches are
            the same either way.
        transform: called with the images where they are rendered, on the CPU, in a worker or in
            the thread of a ``Loader``: uint8 (B, C, H, W), or (C, H, W) if ``batch_size=None``.
            Any callable or module; no gradients are recorded. It does not see the target: use
            ``transforms`` to crop and flip masks and boxes together with the images. It uses the
            random state of its process, which resuming does not restore.
        target_transform: called with the targets of a batch, or with that of a sample if
            ``batch_size=None``: ``lambda labels: labels // 4`` merges every four categories into
            one. If the ``transforms`` of a ``Loader`` should crop or flip a mask that it returns,
            that must be a ``tv_tensors.Mask``.
        transforms: called with the images and their targets instead of the two above; returns both.
            Images, masks and boxes are ``torchvision.tv_tensors``, for the transforms of
            ``torchvision.transforms.v2``. These crop and flip a whole batch in the same way; with
            ``batch_size=None`` each image is transformed separately. A crop does not change
            ``"labels"``, even of objects that it cuts away. Needs torchvision.
        rank: the rank of this process. If not given, the rank in ``torch.distributed``, else
            torchrun's ``RANK``, else 0, looked up whenever a pass begins. Copies and workers
            inherit the rank that was found, unless ``torch.distributed`` is initialized in their
            process.
        world_size: the number of ranks, looked up in the same way if not given.
        num_threads: the number of rendering threads. If not given, one in a worker and all cores
            elsewhere.

    Yields:
        (images, targets): images are uint8 (B, C, H, W) with C = 1, or 3 in color (then with
        channels-last strides), or what the transform returned. The targets are, for ``"label"``,
        int64 (B,); for ``"labels"``, float32 (B, C), 1 for the category of each visible object;
        for ``"mask"``, int64 (B, H, W), 0 for background, else category + 1; for ``"boxes"``, one
        dict per image in the format of torchvision's detection models: ``boxes`` float32 (N, 4),
        left, top, right, bottom; ``labels`` int64 (N,), category + 1; ``masks`` uint8 (N, H, W).

    Raises:
        ModuleNotFoundError: ``transforms`` needs torchvision, which is not installed.
        TypeError: an argument is of the wrong type.
        ValueError: an argument is out of range.
    """

    @renamed(threads="num_threads")
    def __init__(
        self,
        family: Family,
        *,
        rendering: Frame | None = None,
        target: TargetName = "label",
        batch_size: int | None = 256,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        instances: int | None = None,
        label_noise: float = 0.0,
        cache: bool = False,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        transforms: Callable[[Any, Any], Any] | None = None,
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
        if self.steps_per_epoch is not None and self.steps_per_epoch >= MAX_START:
            raise ValueError(f"steps_per_epoch must be less than 2**62, got {steps_per_epoch}")
        self.instances = None if instances is None else checked_positive("instances", instances)
        self.label_noise = checked_fraction("label_noise", label_noise)
        self.target = checked_target(family, target, self.label_noise)
        self.transform = checked_transform("transform", transform)
        self.target_transform = checked_transform("target_transform", target_transform)
        self.transforms = checked_transforms(
            transforms, transform=transform, target_transform=target_transform
        )
        self.num_threads = checked_threads(num_threads)
        self._images: Dataset | None = None
        self.cache = bool(checked_type("cache", cache, (bool, np.bool_)))
        if self.cache:
            if self.instances is None:
                raise ValueError("cache=True needs instances: how many images of each category")
            self._images = Dataset(
                family,
                self.instances,
                rendering=rendering,
                target=target,
                seed=seed,
                label_noise=label_noise,
                cache=True,
                num_threads=num_threads,
            )
        elif self.rendering.slow_out_of_order:
            warnings.warn(
                f"{self.rendering.slow_out_of_order}; cache=True renders each image once, in order",
                stacklevel=3,
            )
        if (rank is None) != (world_size is None):
            raise ValueError(f"give rank and world_size both or neither, got {rank}, {world_size}")
        self._ranks = None if rank is None else checked_ranks(rank, world_size)
        self._inherited_ranks: tuple[int, int] | None = None  # found where this copy was made
        self._position = Position()
        self._current: StreamIterator | None = None  # of the latest pass, if a loop here began it
        #: The number of times the position was set.
        self.times_set = 0

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIXED and name in self.__dict__:
            raise AttributeError(
                f"the {name} of a Stream cannot be changed: create another Stream, and give its "
                "load_state_dict the state of this one"
            )
        super().__setattr__(name, value)

    @property
    def rank(self) -> int:
        """The rank of this process, as far as it is known now; else 0."""
        return self._resolved_ranks()[0]

    @property
    def world_size(self) -> int:
        """The number of ranks, as far as it is known now; else 1."""
        return self._resolved_ranks()[1]

    @property
    def epoch(self) -> int:
        """The epoch of the latest pass; after ``set_epoch`` or ``load_state_dict``, that of the
        next pass."""
        return within(self._epoch_samples(), *self._position.current())[0]

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next pass; persistent workers see it, too.

        If it is not called, the next pass is the next epoch. Setting the same epoch again repeats
        it. Directly after ``load_state_dict``, setting the restored epoch keeps the position
        within it. An endless stream has one epoch and ignores this call.

        Raises:
            TypeError, ValueError: ``epoch`` is not a valid epoch number.
            ValueError: called by Accelerate, which would shard the stream a second time.
        """
        refuse_second_split(self._resolved_ranks()[1])
        number = checked_whole("epoch", epoch)
        samples = self._epoch_samples()
        if samples is None:
            return
        if number * samples >= MAX_START:
            raise ValueError(
                f"epoch must start before sample 2**62, got {epoch} (an epoch has {samples})"
            )
        next_epoch, seen = within(samples, *self._position.next())
        self._set_position(number, seen if number == next_epoch else 0)

    def state_dict(self, batches: int | None = None) -> dict[str, int]:
        """Returns {"samples": n}, the number of samples that all ranks together have seen.

        Args:
            batches: the number of batches (samples, if ``batch_size=None``) that the training loop
                has taken in the current pass, not since the run began. Required with DataLoader
                workers, which run ahead of the loop (a ``Loader`` keeps count itself). If not
                given, this counts the batches that the latest iterator of this process has yielded.

        Raises:
            RuntimeError: DataLoader workers or a ``Loader`` iterate over the stream, and
                ``batches`` is not given; or several workers deal out single samples, and the pass
                is not over.
            TypeError: ``batches`` is not an integer, or the position in a worker is unknown
                because a subclass has an ``__iter__`` of its own.
            ValueError: ``batches`` is negative, or more than the pass has.
        """
        if batches is not None:
            return {"samples": self._samples(*self._position.current()) + self._taken(batches)}
        if get_worker_info() is not None and self._current is not None:
            self._refuse_own_iter("a StatefulDataLoader saves the stream's own position")
            # Where the pass started; the worker's iterator keeps the position within the pass.
            return {"samples": self._current.start}
        started_by = self._position.started_by()
        if started_by == BY_PREFETCHER:
            raise RuntimeError(
                "workers and loaders run ahead of the training loop: pass the number of batches it "
                "has taken, state_dict(batches=…), or call state_dict() on the Loader"
            )
        if started_by == BY_LOOP and self._current is not None:
            return self._current.state_dict()
        return {"samples": self.next_sample()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next pass start where ``state`` was taken, with any number of workers.

        That pass finishes the interrupted epoch, and the one after it is the next epoch. The number
        of ranks may change as long as the global batch stays the same. A state is a position and
        nothing else: to see the samples that would have come next, create the stream with the same
        arguments.

        Raises:
            ValueError: ``state`` is not one of a stream, or does not fall between two batches.
        """
        samples = checked_samples(state)
        self._refuse_part_of_a_batch(samples)
        self._set_position(0, samples)

    def addresses(self, samples: Numbers) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Returns the addresses of samples, which ``fdsl.render`` renders again.

        Samples are numbered from 0 over all epochs and ranks, as in a state: with several ranks, a
        global batch holds the samples of rank 0, then those of rank 1, and so on.
        ``docs/training.md`` finds those of the batch that a loop has just taken.

        >>> import fdsl
        >>> perlin = fdsl.Perlin(100)
        >>> stream = Stream(perlin, batch_size=4, seed=5)
        >>> images, labels = next(iter(stream))
        >>> categories, indices = stream.addresses(range(4))
        >>> bool((fdsl.render(perlin, categories, indices, seed=5) == images[:, 0].numpy()).all())
        True

        Args:
            samples: the number of a sample, or numbers (N,).

        Returns:
            (categories, indices), int64 (N,) each.

        Raises:
            IndexError: a sample is 2**62 or larger.
            TypeError: ``samples`` are not integers.
        """
        numbers = np.atleast_1d(checked_numbers("samples", samples))
        if numbers.size and numbers.max() >= MAX_START:
            raise IndexError(f"samples must be less than 2**62, got {numbers.max()}")
        order = self.family.order(numbers, self.instances, self.seed)
        categories, indices = (part.astype(np.int64) for part in order)  # torch computes with int64
        return categories, indices

    def __iter__(self) -> Iterator[Item]:
        worker = get_worker_info()
        if worker is None:
            return StreamIterator(self)
        iterator = StreamIterator(self, worker.id, worker.num_workers)
        # A worker begins the pass now, before the DataLoader asks it for a first batch.
        iterator.begin_at(*self._position.join(self._length_of_pass()))
        self._current = iterator
        return iterator

    def _refuse_own_iter(self, why: str) -> None:
        """Raises TypeError if a subclass has an ``__iter__`` of its own."""
        if type(self).__iter__ is not Stream.__iter__:
            raise TypeError(
                f"{why}, without {type(self).__name__}.__iter__: change batches by transform= or "
                "transforms=, or in the loop"
            )

    def __getitem__(self, index: Any) -> NoReturn:
        """Raises TypeError: a stream is iterated over."""
        raise TypeError(
            "a Stream has no items, only an order: fdsl.torch.Dataset has items, and can be split"
        )

    def __len__(self) -> int:
        """Batches per epoch; the first pass after resuming may have fewer."""
        if self.steps_per_epoch is None:
            raise TypeError("an endless stream has no length: set its steps_per_epoch")
        return self.steps_per_epoch

    def __bool__(self) -> bool:
        return True  # an endless stream has no length to ask for

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker has no access to torch.distributed, so it is told the rank. It must not
        # get this process's iterator.
        ranks = self._known_ranks()
        own = {"_inherited_ranks": ranks, "_position": copy.copy(self._position), "_current": None}
        return {**self.__dict__, **own}

    def __repr__(self) -> str:
        categories = counted(len(self.family), "category", "categories")
        length = (
            "endless" if self.steps_per_epoch is None else counted(self.steps_per_epoch, "step")
        )
        return f"<Stream: {categories}, batch_size={self.batch_size}, {length}>"

    def _repr_png_(self) -> bytes | None:
        """Returns thumbnails of the first samples, for display in notebooks."""
        first = self.family.order(np.arange(32, dtype=np.uint64), self.instances, self.seed)
        return thumbnails(self.family, self.rendering, first, self.seed)

    def _set_position(self, epoch: int, seen: int) -> None:
        self._position.set(epoch, seen)
        self.times_set += 1

    def _begin(self, iterator: StreamIterator, *, ahead: bool) -> None:
        """Begins the next pass with an iterator of this process.

        ``ahead`` says that the iterator runs ahead of the training loop.
        """
        started_by = BY_PREFETCHER if ahead else BY_LOOP
        iterator.begin_at(*self._position.begin(started_by, self._length_of_pass()))
        self._current = None if ahead else iterator

    def _length_of_pass(self) -> int | None:
        """Returns the number of samples of an epoch, when a pass begins.

        By now the ranks must be known, which may have changed since the position was set.
        """
        self._known_ranks(complete=True)
        self._refuse_part_of_a_batch(self._position.next()[1])
        return self._epoch_samples()

    def _refuse_part_of_a_batch(self, samples: int) -> None:
        if self.steps_per_epoch is not None and samples % self._global_batch():
            raise ValueError(
                f"{samples} samples are not a whole number of batches of {self._global_batch()} "
                "(of all ranks together): this state belongs to a different stream"
            )

    def _taken(self, batches: int) -> int:
        """Returns the number of samples in the first batches of the current pass."""
        count, steps = checked_whole("batches", batches), self.steps_per_epoch
        if steps is not None:
            _, seen = within(self._epoch_samples(), *self._position.current())
            steps -= seen // self._global_batch()
            if count > steps:
                raise ValueError(
                    f"batches must be at most {steps}, what the current pass has, got {count}: "
                    "count from the start of the pass, not of the run"
                )
        workers = self._position.workers()
        if self.batch_size is None and workers > 1 and count not in (0, steps):
            at_the_end = "" if steps is None else "save the state at the end of an epoch, "
            raise RuntimeError(
                f"{workers} workers deal out single samples, and those taken so far may not be the "
                f"first ones: {at_the_end}use at most one worker or torchdata's "
                "StatefulDataLoader, or give the stream a batch_size"
            )
        return count * self._global_batch()

    def _known_ranks(self, *, complete: bool = False) -> tuple[int, int] | None:
        found = self._ranks or ranks_of_distributed() or self._inherited_ranks
        return found or ranks_of_launcher(complete=complete)

    def _resolved_ranks(self) -> tuple[int, int]:
        return self._known_ranks() or (0, 1)

    def _global_batch(self) -> int:
        return (self.batch_size or 1) * self._resolved_ranks()[1]

    def _epoch_samples(self) -> int | None:
        return self.steps_per_epoch and self.steps_per_epoch * self._global_batch()

    def _samples(self, epoch: int, seen: int) -> int:
        return epoch * (self._epoch_samples() or 0) + seen

    def next_sample(self) -> int:
        """Returns the number of the sample where the next pass starts, counted over all ranks."""
        return self._samples(*self._position.next())

    def _threads(self) -> int | None:
        return 1 if self.num_threads is None and get_worker_info() is not None else self.num_threads


class StreamIterator(Iterator[Item]):
    """Yields batches w, w + W, … of one pass, for worker w of W."""

    #: How many single samples are rendered together; rendering one at a time would use only one
    #: core.
    SINGLES_AT_ONCE = 32

    def __init__(
        self,
        stream: Stream,
        worker: int = 0,
        workers: int = 1,
        allocate: Callable[[tuple[int, ...]], Tensor] | None = None,
    ) -> None:
        """``allocate`` returns a contiguous uint8 tensor of a given shape to render into."""
        self._stream, self._worker, self._workers = stream, worker, workers
        self._allocate = allocate or _allocate
        self._singles: deque[Item] = deque()
        self._begun = False
        self._repeats = False

    def begin_at(self, epoch: int, seen: int, repeats: bool) -> None:
        """Starts the pass after the first ``seen`` samples of an epoch."""
        stream = self._stream
        self._rank, self.global_batch = stream._resolved_ranks()[0], stream._global_batch()
        self.start = stream._samples(epoch, seen)
        steps = stream.steps_per_epoch
        self._batches = None if steps is None else steps - seen // self.global_batch
        self._next = self._worker
        self._begun, self._repeats = True, repeats and steps is None

    def __next__(self) -> Item:
        stream = self._stream
        if not self._begun:
            stream._begin(self, ahead=False)
        if self._batches is not None and self._next >= self._batches:
            raise StopIteration
        if self._repeats:  # and load_state_dict has not moved it since
            self._repeats = False
            warnings.warn(
                f"an endless stream starts again at sample {self.start:,}, so its images repeat: "
                "keep one iterator, or set steps_per_epoch; to repeat them on purpose, call "
                "load_state_dict first",
                stacklevel=2,
            )
        sample = self._single() if stream.batch_size is None else self._render([self._next])
        try:
            sample = self._transformed(sample)
        except BaseException:
            self._singles.clear()  # the transform may have written to it
            raise
        # Only now: after an exception of the transform, this is still the next one.
        self._next += self._workers
        if self._singles:
            self._singles.popleft()
        return sample

    def state_dict(self) -> dict[str, int]:
        """Returns where the next batch starts, counted in samples of all ranks."""
        if not self._begun:
            return {"samples": self._stream.next_sample()}
        return {"samples": self.start + self._next * self.global_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Moves to the position saved by ``state_dict``, within the same pass.

        Raises:
            ValueError: ``state`` does not match this iterator.
        """
        samples, stream = checked_samples(state), self._stream
        epoch, seen = within(stream._epoch_samples(), *stream._position.next())
        start = self.start if self._begun else stream._samples(epoch, seen)
        global_batch = self.global_batch if self._begun else stream._global_batch()
        steps = stream.steps_per_epoch
        left = self._batches if self._begun else steps and steps - seen // global_batch
        batch, remainder = divmod(samples - start, global_batch)
        worker_offset = (batch - self._worker) % self._workers  # 0 for a batch of this worker
        past_end = left is not None and batch >= left + self._workers
        if remainder or worker_offset or batch < 0 or past_end:
            raise ValueError(
                f"no batch of this pass starts at {samples} samples: the pass began at {start}, "
                f"with batches of {global_batch} (of all ranks together); this state belongs to a "
                "different iterator"
            )
        if not self._begun:
            if batch == 0:
                return  # the first call of __next__ will begin the pass
            stream._begin(self, ahead=False)
        self._next, self._repeats = batch, False
        self._singles.clear()

    def _single(self) -> Item:
        if not self._singles:
            end = self._next + self.SINGLES_AT_ONCE * self._workers
            if self._batches is not None:
                end = min(end, self._batches)
            images, targets = self._render(range(self._next, end, self._workers))
            # Copies, since a view would keep all of them in memory as long as one is in use.
            self._singles.extend(map_arrays(Tensor.clone, [*zip(images, targets, strict=True)]))
        return self._singles[0]

    def _transformed(self, sample: Item) -> Item:
        stream = self._stream
        images, targets = sample
        with torch.no_grad():
            if stream.transforms is None:
                images = apply_transform(stream.transform, images)
                targets = apply_transform(stream.target_transform, targets, name="target_transform")
            else:
                marked = as_tv_tensors(images, targets, stream.target)
                images, targets = apply_transforms(stream.transforms, *marked)
        return (images, targets) if stream.batch_size is None else Batch(images, targets)

    def _render(self, batches: Sequence[int]) -> Item:
        stream = self._stream
        size = stream.batch_size or 1
        firsts = [self.start + batch * self.global_batch + self._rank * size for batch in batches]
        if firsts[-1] + size > 2 * MAX_START:
            raise ValueError(
                f"a stream has 2**63 samples: a batch of {size} from sample {firsts[-1]} would "
                "exceed them"
            )
        offsets = np.arange(size, dtype=np.uint64)
        numbers = np.add.outer(np.array(firsts, np.uint64), offsets).ravel()
        images = self._allocate((len(numbers), *stream.rendering.image_shape))
        if stream._images is not None:
            categories, indices = stream.family.order(numbers, stream.instances, stream.seed)
            items = categories * np.uint64(stream._images.instances) + indices
            images.numpy()[...], kept = stream._images.take(items.astype(np.int64))
            return channels_first(images), to_tensors(kept)
        targets = render_batch(
            stream.family,
            Job(stream.rendering, stream.seed, stream._threads()),
            numbers,
            images.numpy(),
            stream.target,
            instances=stream.instances,
            label_noise=stream.label_noise,
        )
        return channels_first(images), to_tensors(targets)


def checked_samples(state: dict[str, int]) -> int:
    """Validates a stream's state and returns its sample count."""
    try:
        samples = checked_whole("samples", state["samples"])
    except (KeyError, TypeError):
        raise ValueError(
            f"state must be what a stream's state_dict returns, {{'samples': n}}, got {state!r}"
        ) from None
    if samples >= MAX_START:
        raise ValueError(f"samples must be less than 2**62, got {samples}")
    return samples


def _allocate(shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=torch.uint8, device="cpu")  # whatever the default device
