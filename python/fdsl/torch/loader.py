"""Renders the batches of a stream ahead of the training loop, in the same process."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, Sampler, default_convert, get_worker_info

from fdsl._checks import checked_positive, checked_type, renamed
from fdsl.torch.stream import Batch, Item, Stream, StreamIterator
from fdsl.torch.tensors import (
    apply_transform,
    apply_transforms,
    as_tv_tensors,
    checked_transform,
    checked_transforms,
    map_arrays,
    pinned,
)

#: Turns a rendered batch into the batch that the loop gets. Also returns the CUDA event that marks
#: the end of the copy to the device, or ``None``.
_Delivery = Callable[[Item], "tuple[Batch, torch.cuda.Event | None]"]


def _converted(batch: Any) -> Any:
    """Converts a batch as a DataLoader with ``batch_size=None`` does."""
    if isinstance(batch, list) and batch and isinstance(batch[0], Batch):
        raise ValueError(
            "a Loader cannot be rebuilt as a DataLoader, as accelerate.skip_first_batches does: "
            "load_state_dict continues within an epoch"
        )
    return default_convert(batch)


class Loader:
    """Renders a stream ahead of the training loop, in a background thread instead of workers.

    While the loop works on one batch, all cores render the next ones directly into the tensors that
    the loop gets. Nothing is pickled, copied or sent between processes. The batches are the same,
    byte for byte, as those of a torch ``DataLoader`` over the stream, and so is the state.

    The memory of a batch is not reused while anything refers to it, so the loop may keep batches.
    At most ``prefetch_batches`` finished batches wait for the loop; one more is being rendered.
    The thread starts when the first batch is requested. It ends when the epoch ends, on ``close``,
    on an exception, and when the iterator is garbage-collected; it finishes the batch it is
    rendering first.

    A ``Loader`` has the attributes of a ``DataLoader``: ``dataset``, ``sampler``,
    ``batch_sampler``, ``num_workers``, ``collate_fn`` and so on. ``sampler.set_epoch`` sets the
    epoch of the stream, so Lightning needs no callback. Accelerate and Fabric need not prepare it:
    each rank already gets its part of every batch, on ``device``.

    >>> import fdsl
    >>> from fdsl.torch import Loader, Stream
    >>> ifs = fdsl.IFS.search(categories=10, fill_rate=0.2, seed=1)
    >>> stream = Stream(ifs, rendering=fdsl.Rendering.paper(), batch_size=4, steps_per_epoch=2)
    >>> with Loader(stream) as loader:
    ...     [tuple(images.shape) for images, labels in loader]
    [(4, 1, 224, 224), (4, 1, 224, 224)]

    Args:
        stream: the stream to render; its ``batch_size`` must not be ``None``.
        prefetch_batches: the number of finished batches that may wait for the loop, 1 or more.
        device: where to copy the batches. Copies to a CUDA device run in parallel with the
            computation. If not given, batches stay in the memory of this process.
        transform: any callable, called in the thread with the images of a batch on ``device``. It
            does not see the targets: use ``transforms`` to crop and flip masks and boxes together
            with the images. A module, such as ``Normalize()``, is moved to the device, and no
            gradients are recorded. It shares the process's random state with the network, in no
            fixed order. The transform of the stream is applied first, on the CPU.
        transforms: called with the images and the targets instead of ``transform``; returns both.
            Images, masks and boxes are ``torchvision.tv_tensors``, as for a ``Stream``, unless the
            stream has ``transforms`` itself; what its ``target_transform`` returns is not marked.
            Needs torchvision.
        pin_memory: whether to render into page-locked memory, from which copies to a GPU are
            asynchronous. Default: yes if ``device`` is a CUDA device.

    Yields:
        (images, targets): as from ``Stream``, uint8 (B, C, H, W) and the targets, on ``device``; or
        what the transform returned.

    Raises:
        ModuleNotFoundError: ``transforms`` needs torchvision, which is not installed.
        TypeError: an argument is of the wrong type, or the stream has an ``__iter__`` of its own,
            which this would bypass.
        ValueError: an argument is out of range, or the device does not work here.
    """

    # Attributes of a DataLoader that trainers read.
    num_workers = 0
    prefetch_factor = None
    persistent_workers = False
    drop_last = False  # there is no incomplete batch
    in_order = True
    timeout = 0
    pin_memory_device = ""
    collate_fn = staticmethod(_converted)
    worker_init_fn = None
    multiprocessing_context = None
    generator = None

    @renamed(prefetch="prefetch_batches", normalize="transform")
    def __init__(
        self,
        stream: Stream,
        *,
        prefetch_batches: int = 2,
        device: torch.device | str | int | None = None,
        transform: Callable[[Any], Any] | None = None,
        transforms: Callable[[Any, Any], Any] | None = None,
        pin_memory: bool | None = None,
    ) -> None:
        self.stream: Stream = checked_type("stream", stream, Stream)
        stream._refuse_own_iter("a Loader renders the batches itself")
        if stream.batch_size is None:
            raise ValueError("a Loader yields batches: its stream needs a batch_size, got None")
        self.prefetch_batches = checked_positive("prefetch_batches", prefetch_batches)
        self.device = None if device is None else _checked_device(device)
        self.transform = checked_transform("transform", transform)
        self.transforms = checked_transforms(transforms, transform=transform)
        if self.device is not None:
            for module in (transform, transforms):
                if isinstance(module, nn.Module):
                    module.to(self.device)
        if pin_memory is None:
            self.pin_memory = self.device is not None and self.device.type == "cuda"
        else:
            self.pin_memory = bool(checked_type("pin_memory", pin_memory, bool))
            if self.pin_memory and not torch.cuda.is_available():
                raise ValueError("pin_memory=True needs a GPU, but torch sees none")
        self.sampler = StreamSampler(stream)
        self.batch_sampler = BatchSampler(self.sampler, stream.batch_size, drop_last=False)
        self._latest = _Latest()
        self._iterators: weakref.WeakSet[LoaderIterator] = weakref.WeakSet()
        self._side_stream: torch.cuda.Stream | None = None

    def __iter__(self) -> LoaderIterator:
        if get_worker_info() is not None:
            raise RuntimeError(
                "a Loader cannot be used in a DataLoader worker, where each worker would render "
                "every batch: give the DataLoader the stream instead"
            )
        # torch caches page-locked memory and reuses it only when nothing refers to it and no copy
        # from it is in progress.
        own = {"dtype": torch.uint8, "device": "cpu", "pin_memory": self.pin_memory}
        allocate = functools.partial(torch.empty, **own)
        # Keeps its own position in the stream, independent of other iterators of this loader.
        source = StreamIterator(self.stream, allocate=allocate)
        gpu = None
        if self.device is not None and self.device.type == "cuda":
            gpu = self.device.index
        elif self.pin_memory:
            gpu = torch.cuda.current_device()  # a new thread would start with GPU 0
        iterator = LoaderIterator(
            self.stream, source, self._latest, self._delivery(), self.prefetch_batches, gpu
        )
        self._iterators.add(iterator)
        return iterator

    def __len__(self) -> int:
        """Batches per epoch; the first pass after resuming may have fewer."""
        return len(self.stream)

    def __bool__(self) -> bool:
        return True  # an endless stream has no length to ask for

    @property
    def dataset(self) -> Stream:
        """The stream."""
        return self.stream

    @property
    def batch_size(self) -> int | None:
        """Samples per batch and rank."""
        return self.stream.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next pass, as ``Stream.set_epoch`` does."""
        self.stream.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """Returns {"samples": n}, the number of samples that the loops of all ranks have taken.

        Batches rendered ahead do not count. A ``Stream`` can load this state, too.
        """
        latest = self._latest.progress
        if latest is None or latest.times_set != self.stream.times_set:
            return {"samples": self.stream.next_sample()}
        return latest.state()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next pass start where ``state`` was taken.

        Raises:
            ValueError: ``state`` does not match the stream.
        """
        self.stream.load_state_dict(state)

    def close(self) -> None:
        """Ends the threads of all iterators; the loader can be iterated again."""
        for iterator in list(self._iterators):
            iterator.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        self.close()
        return False

    def __getstate__(self) -> dict[str, Any]:
        # Threads are not copied. A copied loader starts at the position of its copied stream.
        return {**self.__dict__, "_latest": None, "_iterators": None, "_side_stream": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._latest = _Latest()
        self._iterators = weakref.WeakSet()

    def __repr__(self) -> str:
        where = "" if self.device is None else f", device={str(self.device)!r}"
        return f"<Loader of {self.stream!r}, prefetch_batches={self.prefetch_batches}{where}>"

    def _delivery(self) -> _Delivery:
        """Returns the function that the thread applies to each batch.

        The function must not refer to the loader, which could not be garbage-collected otherwise.
        """
        device, pin = self.device, self.pin_memory
        transform, transforms = self.transform, self.transforms
        if device is None and transform is None and transforms is None:
            return lambda batch: (Batch(*batch), None)
        # What the transforms of the stream return may no longer be a mask or boxes.
        mark = self.stream.transforms is None
        kind = self.stream.target if self.stream.target_transform is None else "label"
        side_stream = None
        if device is not None and device.type == "cuda":
            # One for all iterators: torch reuses the memory of batches only on the same stream.
            side_stream = self._side_stream = self._side_stream or torch.cuda.Stream(device)
            # The current stream may still be moving `transform` to the device.
            side_stream.wait_stream(torch.cuda.current_stream(device))

        def sent(part: Tensor) -> Tensor:
            # Only CUDA keeps the source memory alive until an asynchronous copy is done. Images are
            # in page-locked memory already, targets are not.
            part = pinned(part) if pin else part
            return part.to(device, non_blocking=side_stream is not None)

        def deliver(batch: Item) -> tuple[Batch, torch.cuda.Event | None]:
            images, targets = batch
            with torch.no_grad(), torch.cuda.stream(side_stream):
                if device is not None:
                    images, targets = (map_arrays(sent, parts) for parts in batch)
                if transforms is None:
                    images = apply_transform(transform, images)
                else:
                    both = as_tv_tensors(images, targets, kind) if mark else (images, targets)
                    images, targets = apply_transforms(transforms, *both)
                copied = None if side_stream is None else side_stream.record_event()
                return Batch(images, targets), copied

        return deliver


class StreamSampler(Sampler[int]):
    """The ``sampler`` of a ``Loader``: its ``set_epoch`` sets the epoch of the stream.

    Iterating over it yields 0, 1, …, one number per sample of an epoch on this rank. The ``Loader``
    does not use them.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def epoch(self) -> int:
        """The epoch of the stream."""
        return self._stream.epoch

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next pass over the stream."""
        self._stream.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        return itertools.count() if self._stream.steps_per_epoch is None else iter(range(len(self)))

    def __len__(self) -> int:
        return len(self._stream) * (self._stream.batch_size or 1)


class LoaderIterator(Iterator[Batch]):
    """One pass over a stream, rendered ahead by a thread until it is closed or collected."""

    def __init__(
        self,
        stream: Stream,
        source: StreamIterator,
        latest: _Latest,
        deliver: _Delivery,
        prefetch_batches: int,
        gpu: int | None,
    ) -> None:
        self._stream, self._source, self._latest = stream, source, latest
        self._process, self._closed = os.getpid(), False
        # The thread refers to the queue and not to this iterator, which could not be
        # garbage-collected otherwise.
        self._queue = _Queue(prefetch_batches)
        self._gpu = gpu
        self._thread = threading.Thread(
            target=_render_ahead,
            args=(source, deliver, self._queue, gpu),
            name="fdsl-loader",
            daemon=True,
        )
        self._unstarted = [self._thread]  # whichever caller pops the thread starts it
        self._progress: _Progress | None = None
        # Garbage collection may run in any thread, even in one that holds locks, so this must not
        # wait for anything.
        weakref.finalize(self, self._queue.stop)

    def __next__(self) -> Batch:
        if os.getpid() != self._process:
            raise RuntimeError(
                "a forked process has no rendering thread: create a new iterator of the loader"
            )
        if self._unstarted and not self._closed:
            self._start()
        ready = None if self._closed else self._queue.take()
        if ready is None:
            self.close()
            raise StopIteration
        if isinstance(ready, BaseException):
            self.close()
            raise ready
        number: int = ready[0]
        batch: Batch = ready[1]
        copied: torch.cuda.Event | None = ready[2]
        if copied is not None:
            current = torch.cuda.current_stream(self._gpu)
            current.wait_event(copied)
            # Otherwise the memory could be reused while this CUDA stream still reads it.
            map_arrays(lambda part: part.is_cuda and part.record_stream(current), list(batch))
        assert self._progress is not None
        self._progress.taken = max(self._progress.taken, number + 1)
        return batch

    def _start(self) -> None:
        """Begins the pass, unless another thread has done so."""
        try:
            thread = self._unstarted.pop()
        except IndexError:
            return
        try:
            self._stream._begin(self._source, ahead=True)
            self._progress = _Progress(self._source, self._stream.times_set)
            self._latest.progress = self._progress
            _threads[thread] = self._queue
            thread.start()
        except BaseException:  # Ctrl-C, or the system has no more threads
            self._closed = True
            self._queue.stop()
            self._queue.end()
            if not thread.is_alive():  # otherwise the thread removes itself
                _threads.pop(thread, None)
            raise

    def state_dict(self) -> dict[str, int]:
        """Returns {"samples": n}, the number of samples that the loops of all ranks have taken."""
        return self._source.state_dict() if self._progress is None else self._progress.state()

    def close(self) -> None:
        """Ends the thread and waits for it; there are no more batches."""
        self._closed = True
        self._queue.stop()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()


class _Queue:
    """Passes batches from the thread to the loop; at most ``size`` of them wait in it.

    It never holds a lock that a signal handler or the garbage collector could wait for: a
    SimpleQueue is reentrant, and stopping only sets a flag that the thread checks.
    """

    def __init__(self, size: int) -> None:
        self.stopped = False
        self._free_slots: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(size):
            self._free_slots.put(None)
        self._ready: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def stop(self) -> None:
        self.stopped = True

    def put(self, item: Any) -> None:
        while not self.stopped:
            try:
                self._free_slots.get(timeout=0.05)
            except queue.Empty:
                continue
            return self._ready.put(item)

    def end(self) -> None:
        """Wakes up the loops that wait for a batch."""
        self._ready.put(None)

    def take(self) -> Any:
        item = self._ready.get()
        if item is None:
            self.end()  # wakes up the other threads that are waiting
        self._free_slots.put(None)
        return item


class _Progress:
    """Counts the batches that the loop has taken. It outlives the iterator, so ``state_dict`` works
    after the loop has ended."""

    def __init__(self, source: StreamIterator, times_set: int) -> None:
        self.first, self.global_batch, self.taken = source.start, source.global_batch, 0
        self.times_set = times_set  # the value in the stream when the pass began

    def state(self) -> dict[str, int]:
        return {"samples": self.first + self.taken * self.global_batch}


class _Latest:
    """The progress of the latest iterator, shared by a loader and its iterators."""

    def __init__(self) -> None:
        self.progress: _Progress | None = None


#: The rendering threads and their queues. The threads must end before the interpreter shuts down.
_threads: dict[threading.Thread, _Queue] = {}


@atexit.register
def _end_all() -> None:
    threads = list(_threads.items())
    for _, batches in threads:
        batches.stop()
    for thread, _ in threads:
        # A thread that Ctrl-C interrupted before its start is not alive.
        while thread.is_alive():
            with contextlib.suppress(KeyboardInterrupt):  # waits for one batch at most
                thread.join()


def _render_ahead(
    source: StreamIterator, deliver: _Delivery, batches: _Queue, gpu: int | None
) -> None:
    try:
        if gpu is not None:
            torch.cuda.set_device(gpu)
        if batches.stopped:
            return
        for number, batch in enumerate(source):
            batches.put((number, *deliver(batch)))
            del batch  # otherwise its memory would be kept while the next batch is rendered
            if batches.stopped:
                return
    except BaseException as error:  # raised again in the loop
        batches.put(error)
    finally:
        batches.end()
        _threads.pop(threading.current_thread(), None)


def _checked_device(device: torch.device | str | int) -> torch.device:
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be one that torch knows, got {device!r}") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, but torch sees no GPU")
    try:
        # A tensor's device has an index. Without one, another thread would use its own current
        # device.
        indexed = torch.empty(0, device=chosen).device
    except Exception as error:  # each kind of device raises a different type
        raise ValueError(f"device is {device!r}, which does not work here: {error}") from error
    if indexed.type == "meta":
        raise ValueError("device is 'meta', which cannot hold images")
    return indexed
