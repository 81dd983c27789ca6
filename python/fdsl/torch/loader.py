"""Renders a stream ahead of the training loop, in this process."""

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
from torch import nn
from torch.utils.data import BatchSampler, Sampler, default_convert

from fdsl._checks import checked_positive, checked_type, renamed
from fdsl.torch.stream import Batch, Sample, Stream, StreamIterator
from fdsl.torch.tensors import checked_transform, mapped, transformed

#: Turns a rendered batch into what the loop gets, and the event after which it is on the device.
_Deliver = Callable[[Sample], "tuple[Sample, torch.cuda.Event | None]"]


class Loader:
    """Renders a stream ahead of the training loop: a thread of this process, no worker processes.

    While the loop works on one batch, all cores render the next ones straight into the memory that
    the loop gets: nothing is pickled, copied or sent between processes. Batches, state and resume
    are those of ``Stream`` under torch's ``DataLoader``, to the byte.

    Each batch has its own memory, which is not reused while anything refers to it, so a batch may
    be kept. At most ``prefetch_batches`` batches are ready, besides the one being rendered and
    those that the loop holds. The thread starts when the first batch is requested. It ends, after
    the batch it is rendering, when the epoch ends, on ``close``, on an exception, and when the
    iterator is garbage collected.

    It has the attributes of a ``DataLoader``: ``dataset``, ``sampler``, ``batch_sampler``,
    ``num_workers``, ``collate_fn`` and so on. ``sampler.set_epoch`` sets the epoch of the stream,
    so Lightning needs no callback. Accelerate and Fabric have nothing to prepare: each rank
    already gets its share, on ``device``.

    >>> import fdsl
    >>> from fdsl.torch import Loader, Stream
    >>> ifs = fdsl.IFS.search(categories=10, fill_rate=0.2, seed=1)
    >>> stream = Stream(ifs, rendering=fdsl.Rendering.paper(), batch_size=4, steps_per_epoch=2)
    >>> with Loader(stream) as loader:
    ...     [tuple(images.shape) for images, labels in loader]
    [(4, 1, 224, 224), (4, 1, 224, 224)]

    Args:
        stream: what to render; its ``batch_size`` may not be ``None``.
        prefetch_batches: how many batches may be ready, 1 or more.
        device: copies batches there, on a CUDA device in parallel with the computation. If not
            given, they stay in this process's memory.
        transform: called with the images of a batch on ``device``, in the thread: any callable. It
            does not see the targets: do not move images away from their mask or boxes. A module,
            such as ``Normalize()``, is moved to the device, and no gradients are recorded. It
            shares the process's random state with the network, in no fixed order. The stream's own
            ``transform`` comes first, on the CPU.
        pin_memory: renders into page-locked memory, from which copies to a GPU are asynchronous.
            By default wherever there is a GPU, unless ``device`` is something else.

    Yields:
        (images, targets): as ``Stream`` does, uint8 (B, C, H, W) and its targets, on ``device``;
        or what ``transform`` returns for the images.

    Raises:
        TypeError: an argument is of the wrong type.
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
    collate_fn = staticmethod(default_convert)
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
        pin_memory: bool | None = None,
    ) -> None:
        self.stream: Stream = checked_type("stream", stream, Stream)
        if stream.batch_size is None:
            raise ValueError("a Loader yields batches: give its stream a batch_size, not None")
        self.prefetch_batches = checked_positive("prefetch_batches", prefetch_batches)
        self.device = None if device is None else _checked_device(device)
        self.transform = checked_transform("transform", transform)
        if isinstance(transform, nn.Module) and self.device is not None:
            transform.to(self.device)
        if pin_memory is None:
            on_gpu = self.device is None or self.device.type == "cuda"
            self.pin_memory = torch.cuda.is_available() and on_gpu
        else:
            self.pin_memory = bool(checked_type("pin_memory", pin_memory, bool))
            if self.pin_memory and not torch.cuda.is_available():
                raise ValueError("pin_memory needs a GPU, and torch sees none here")
        self.sampler = StreamSampler(stream)
        self.batch_sampler = BatchSampler(self.sampler, stream.batch_size, drop_last=False)
        self._latest = _Latest()
        self._iterators: weakref.WeakSet[LoaderIterator] = weakref.WeakSet()

    def __iter__(self) -> LoaderIterator:
        # torch caches page-locked memory and reuses it only when nothing refers to it and no copy
        # from it is in progress.
        empty = functools.partial(torch.empty, dtype=torch.uint8, pin_memory=self.pin_memory)
        # Has its own position in the stream and does not disturb other iterators of this loader.
        source = StreamIterator(self.stream, empty=empty)
        gpu = None
        if self.device is not None and self.device.type == "cuda":
            gpu = self.device.index
        elif self.pin_memory:
            gpu = torch.cuda.current_device()  # a new thread would start with GPU 0
        iterator = LoaderIterator(
            self.stream, source, self._latest, self._deliver(), self.prefetch_batches, gpu
        )
        self._iterators.add(iterator)
        return iterator

    def __len__(self) -> int:
        """Batches per epoch; the first iteration after a resume may have fewer."""
        return len(self.stream)

    @property
    def dataset(self) -> Stream:
        """The stream."""
        return self.stream

    @property
    def batch_size(self) -> int | None:
        """Samples per batch and rank."""
        return self.stream.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next iteration, as ``Stream.set_epoch`` does."""
        self.stream.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """Returns {"samples": n}: how many samples the loops of all ranks have taken.

        Batches rendered ahead do not count. A ``Stream`` can load this state, too.
        """
        latest = self._latest.progress
        if latest is None or latest.times_set != self.stream.times_set:
            return {"samples": self.stream.next_sample()}
        return latest.state()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next iteration start where ``state`` was taken.

        Raises:
            ValueError: it is not the state of such a stream.
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
        # Threads are not copied; a copy starts where the stream's copy does.
        return {**self.__dict__, "_latest": None, "_iterators": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._latest = _Latest()
        self._iterators = weakref.WeakSet()

    def __repr__(self) -> str:
        where = "" if self.device is None else f", device={str(self.device)!r}"
        return f"<Loader of {self.stream!r}, prefetch_batches={self.prefetch_batches}{where}>"

    def _deliver(self) -> _Deliver:
        """Returns what the thread does with a batch; must not refer to the loader."""
        device, transform = self.device, self.transform
        if device is None and transform is None:
            return lambda batch: (batch, None)
        side = None
        if device is not None and device.type == "cuda":
            side = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))  # it may still move `transform`

        def deliver(batch: Sample) -> tuple[Sample, torch.cuda.Event | None]:
            images, targets = batch
            with torch.no_grad(), torch.cuda.stream(side):
                if device is not None:
                    # On other devices nothing keeps the memory alive until it has been copied.
                    images, targets = (
                        mapped(lambda part: part.to(device, non_blocking=side is not None), parts)
                        for parts in batch
                    )
                images = transformed(transform, images)
                return Batch(images, targets), None if side is None else side.record_event()

        return deliver


class StreamSampler(Sampler[int]):
    """The ``sampler`` of a ``Loader``: its ``set_epoch`` sets the epoch of the stream.

    It yields the numbers 0, 1, … of the samples of one epoch and rank, which the ``Loader`` does
    not need.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def epoch(self) -> int:
        """The stream's."""
        return self._stream.epoch

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the stream's next iteration."""
        self._stream.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        return itertools.count() if self._stream.steps_per_epoch is None else iter(range(len(self)))

    def __len__(self) -> int:
        return len(self._stream) * (self._stream.batch_size or 1)


class LoaderIterator(Iterator[Sample]):
    """One pass through a stream, rendered ahead by a thread until it is closed or dropped."""

    def __init__(
        self,
        stream: Stream,
        source: StreamIterator,
        latest: _Latest,
        deliver: _Deliver,
        prefetch_batches: int,
        gpu: int | None,
    ) -> None:
        self._stream, self._source, self._latest = stream, source, latest
        self._process, self._done = os.getpid(), False
        # The thread refers to the queue and not to this iterator, which could not be garbage
        # collected otherwise.
        self._queue = _Queue(prefetch_batches)
        self._gpu = gpu
        self._thread = threading.Thread(
            target=_render_ahead,
            args=(source, deliver, self._queue, gpu),
            name="fdsl-loader",
            daemon=True,
        )
        self._unstarted = [self._thread]  # the caller that takes it out starts it
        self._progress: _Progress | None = None
        # Any thread may collect garbage, whatever locks it holds: this must not wait for anything.
        weakref.finalize(self, self._queue.stop)

    def __next__(self) -> Sample:
        if os.getpid() != self._process:
            raise RuntimeError(
                "a forked process has no thread that renders: iterate its loader again"
            )
        if self._unstarted and not self._done:
            self._start()
        ready = None if self._done else self._queue.take()
        if ready is None:
            self.close()
            raise StopIteration
        if isinstance(ready, BaseException):
            self.close()
            raise ready
        number: int = ready[0]
        batch: Sample = ready[1]
        copied: torch.cuda.Event | None = ready[2]
        if copied is not None:
            now = torch.cuda.current_stream(self._gpu)
            now.wait_event(copied)
            # Or its memory could be reused while this stream still reads it.
            mapped(lambda part: part.is_cuda and part.record_stream(now), list(batch))
        assert self._progress is not None
        self._progress.taken = max(self._progress.taken, number + 1)
        return batch

    def _start(self) -> None:
        """Begins the iteration, unless another thread has done so."""
        try:
            thread = self._unstarted.pop()
        except IndexError:
            return
        try:
            self._stream._begin(self._source, ahead=True)
            self._progress = _Progress(self._source, self._stream.times_set)
            self._latest.progress = self._progress
            _running[thread] = self._queue
            thread.start()
        except BaseException:  # Ctrl-C, or the system has no more threads
            self._done = True
            self._queue.stop()
            self._queue.end()
            if not thread.is_alive():  # otherwise the thread does this
                _running.pop(thread, None)
            raise

    def state_dict(self) -> dict[str, int]:
        """Returns {"samples": n}: how many samples the loops of all ranks have taken."""
        return self._source.state_dict() if self._progress is None else self._progress.state()

    def close(self) -> None:
        """Ends the thread and waits for it; there are no more batches."""
        self._done = True
        self._queue.stop()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()


class _Queue:
    """The batches between the thread and the loop, at most ``size`` of them.

    It holds no lock that a signal handler or the garbage collector could wait for: a SimpleQueue
    is reentrant, and stopping only sets a flag that the thread checks.
    """

    def __init__(self, size: int) -> None:
        self.stopped = False
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(size):
            self._free.put(None)
        self._ready: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def stop(self) -> None:
        self.stopped = True

    def put(self, what: Any) -> None:
        while not self.stopped:
            try:
                self._free.get(timeout=0.05)
            except queue.Empty:
                continue
            return self._ready.put(what)

    def end(self) -> None:
        """Wakes up the loops that wait for a batch."""
        self._ready.put(None)

    def take(self) -> Any:
        what = self._ready.get()
        if what is None:
            self.end()  # for other threads that are waiting
        self._free.put(None)
        return what


class _Progress:
    """How many batches the loop has taken. It outlives the iterator, so a loop can be resumed."""

    def __init__(self, source: StreamIterator, times_set: int) -> None:
        self.first, self.global_batch, self.taken = source.start, source.global_batch, 0
        self.times_set = times_set  # of the stream's position, when the iteration began

    def state(self) -> dict[str, int]:
        return {"samples": self.first + self.taken * self.global_batch}


class _Latest:
    """The progress of the latest iterator, shared by a loader and its iterators."""

    def __init__(self) -> None:
        self.progress: _Progress | None = None


#: The threads that render. They must end before the interpreter shuts down.
_running: dict[threading.Thread, _Queue] = {}


@atexit.register
def _end_all() -> None:
    threads = list(_running.items())
    for _, batches in threads:
        batches.stop()
    for thread, _ in threads:
        while thread.is_alive():  # it may not be: Ctrl-C can come before the thread starts
            with contextlib.suppress(KeyboardInterrupt):  # this waits for one batch at most
                thread.join()


def _render_ahead(
    source: StreamIterator, deliver: _Deliver, batches: _Queue, gpu: int | None
) -> None:
    try:
        if gpu is not None:
            torch.cuda.set_device(gpu)
        if batches.stopped:
            return
        for number, batch in enumerate(source):
            batches.put((number, *deliver(batch)))
            del batch  # or this thread would keep its memory while it renders the next one
            if batches.stopped:
                return
    except BaseException as error:  # the loop raises it
        batches.put(error)
    finally:
        batches.end()
        _running.pop(threading.current_thread(), None)


def _checked_device(device: torch.device | str | int) -> torch.device:
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be one that torch knows, got {device!r}") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, and torch sees no GPU here")
    try:
        # Has the device's index, without which another thread would take its own current device.
        found = torch.empty(0, device=chosen).device
    except Exception as error:  # each kind of device raises its own
        raise ValueError(f"device is {device!r}, which does not work here: {error}") from error
    if found.type == "meta":
        raise ValueError("device is 'meta', which holds no images")
    return found
