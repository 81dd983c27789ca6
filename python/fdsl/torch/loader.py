"""A stream in this process, drawn ahead of the training loop."""

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
from fdsl.torch.tensors import mapped

#: What becomes of a batch that is drawn: as the loop gets it, and when it is there on the device.
_Deliver = Callable[[Sample], "tuple[Sample, torch.cuda.Event | None]"]


class Loader:
    """Draws a stream ahead of the training loop: a thread of this process, no worker processes.

    While the loop works on one batch, all cores draw the next ones straight into the memory that
    the loop gets: nothing is pickled, copied or handed from process to process. Batches, state and
    resume are those of ``Stream`` under torch's ``DataLoader``, to the byte.

    Memory is new for each batch and never drawn into again while somebody holds a part of it, so
    a batch may be kept. At most ``prefetch_batches`` batches are ready, beside the one that is
    rendered and those that the loop holds. Closing, an exception, the end of the epoch or
    forgetting the iterator end the thread, once it has rendered the batch that it is at. The thread
    starts when the first batch is asked for.

    Trainers find what they look for in a ``DataLoader``: ``dataset``, ``sampler``,
    ``batch_sampler`` and so on. The epoch of ``sampler`` is that of the stream: Lightning needs no
    callback.

    >>> import fdsl
    >>> from fdsl.torch import Loader, Stream
    >>> ifs = fdsl.IFS.search(categories=10, fill_rate=0.2, seed=1)
    >>> stream = Stream(ifs, rendering=fdsl.Rendering.paper(), batch_size=4, steps_per_epoch=2)
    >>> with Loader(stream) as loader:
    ...     [tuple(images.shape) for images, labels in loader]
    [(4, 1, 224, 224), (4, 1, 224, 224)]

    Args:
        stream: what to draw; its ``batch_size`` may not be ``None``.
        prefetch_batches: how many batches may be ready, 1 or more.
        device: copy batches there, on a CUDA device beside the computation; if not given they
            stay in this process's memory.
        transform: what becomes of the images on ``device``, any callable: of the images alone, so
            nothing that moves them away from a mask or boxes. A module, such as ``Normalize()``,
            is moved there, and its gradients are not recorded. Random numbers that it draws are
            those of the process, in no fixed order with the network's.
        pin_memory: draw into page-locked memory, from which copies to a GPU need not be waited
            for; if not given, where there is a GPU and ``device`` is not another.

    Yields:
        (images, targets): as ``Stream`` does, uint8 (B, C, H, W) and its targets, on ``device``;
        or what ``transform`` makes of the images.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: an argument is out of range, or the device does not work here.
    """

    # What a DataLoader has, and trainers ask for.
    num_workers = 0
    prefetch_factor = None
    persistent_workers = False
    drop_last = False  # there is no incomplete batch
    timeout = 0
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
        transform: Callable[[torch.Tensor], Any] | None = None,
        pin_memory: bool | None = None,
    ) -> None:
        self.stream: Stream = checked_type("stream", stream, Stream)
        if stream.batch_size is None:
            raise ValueError("a Loader hands out batches: give its stream a batch_size, not None")
        self.prefetch_batches = checked_positive("prefetch_batches", prefetch_batches)
        self.device = None if device is None else _checked_device(device)
        if transform is not None and not callable(transform):
            raise TypeError(f"transform must be callable, got {transform!r}")
        self.transform = transform
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
        # torch keeps page-locked memory for a later batch, and hands it out again only when nobody
        # holds it and no copy from it is under way.
        empty = functools.partial(torch.empty, dtype=torch.uint8, pin_memory=self.pin_memory)
        # Its own place in the stream: other iterators of this loader go on where they are.
        source = StreamIterator(self.stream, empty=empty)
        gpu = None
        if self.device is not None and self.device.type == "cuda":
            gpu = self.device.index
        elif self.pin_memory:
            gpu = torch.cuda.current_device()  # a new thread's would be the first
        iterator = LoaderIterator(
            self.stream, source, self._latest, self._deliver(), self.prefetch_batches, gpu
        )
        self._iterators.add(iterator)
        return iterator

    def __len__(self) -> int:
        """Batches an epoch; the first iteration after a resume may have fewer."""
        return len(self.stream)

    @property
    def dataset(self) -> Stream:
        """The stream."""
        return self.stream

    @property
    def batch_size(self) -> int | None:
        """Samples a batch and rank."""
        return self.stream.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Picks the epoch of the next iteration, as ``Stream.set_epoch`` does."""
        self.stream.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """Returns {"samples": n}: how many samples the loops of all ranks have taken.

        What is drawn ahead does not count. It is a stream's state: either may go on from it.
        """
        latest = self._latest.progress
        if latest is None or latest.told != self.stream.told:
            return {"samples": self.stream.next_sample()}
        return latest.state()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Lets the next iteration start where ``state`` was taken.

        Raises:
            ValueError: it is not the state of such a stream.
        """
        self.stream.load_state_dict(state)

    def close(self) -> None:
        """Ends the threads of all iterators; the loader may be iterated again."""
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
        # Threads stay where they are; a copy starts where the stream's copy does.
        return {**self.__dict__, "_latest": None, "_iterators": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._latest = _Latest()
        self._iterators = weakref.WeakSet()

    def __repr__(self) -> str:
        where = "" if self.device is None else f", device={str(self.device)!r}"
        return f"<Loader of {self.stream!r}, prefetch_batches={self.prefetch_batches}{where}>"

    def _deliver(self) -> _Deliver:
        """Returns what the thread does with a batch; it may not hold the loader."""
        device, transform = self.device, self.transform
        if device is None and transform is None:
            return lambda batch: (batch, None)
        side = None
        if device is not None and device.type == "cuda":
            side = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))  # where `transform` was made

        def deliver(batch: Sample) -> tuple[Sample, torch.cuda.Event | None]:
            images, targets = batch
            with torch.no_grad(), torch.cuda.stream(side):
                if device is not None:
                    # Elsewhere nothing would keep the bytes until they are copied.
                    images = images.to(device, non_blocking=side is not None)
                    targets = mapped(
                        lambda part: part.to(device, non_blocking=side is not None), targets
                    )
                if transform is not None:
                    images = transform(images)
                return Batch(images, targets), None if side is None else side.record_event()

        return deliver


class StreamSampler(Sampler[int]):
    """Stands where trainers look for a sampler; its epoch is the stream's.

    It numbers the samples of an epoch and rank. A ``Loader`` does not draw by these numbers.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def epoch(self) -> int:
        """The stream's."""
        return self._stream.epoch

    def set_epoch(self, epoch: int) -> None:
        """Picks the epoch of the stream's next iteration."""
        self._stream.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        return itertools.count() if self._stream.steps_per_epoch is None else iter(range(len(self)))

    def __len__(self) -> int:
        return len(self._stream) * (self._stream.batch_size or 1)


class LoaderIterator(Iterator[Sample]):
    """One walk through a stream, by a thread that draws ahead until it is closed or dropped."""

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
        # The thread knows the line and not this iterator, or nobody could drop it.
        self._line = _Line(prefetch_batches)
        self._thread = threading.Thread(
            target=_draw_ahead,
            args=(source, deliver, self._line, gpu),
            name="fdsl-loader",
            daemon=True,
        )
        self._unstarted = [self._thread]  # whoever takes it starts it
        self._progress: _Progress | None = None
        # Garbage may be collected by any thread, whatever it holds: nothing is waited for then.
        weakref.finalize(self, self._line.stop)

    def __next__(self) -> Sample:
        if os.getpid() != self._process:
            raise RuntimeError("a forked process has no thread that draws: iterate its loader anew")
        if self._unstarted and not self._done:
            self._start()
        ready = None if self._done else self._line.take()
        if ready is None:
            self.close()
            raise StopIteration
        if isinstance(ready, BaseException):
            self.close()
            if isinstance(ready, StopIteration):  # would end the epoch without a word
                raise RuntimeError("transform raised StopIteration") from ready
            raise ready
        number: int = ready[0]
        batch: Sample = ready[1]
        copied: torch.cuda.Event | None = ready[2]
        if copied is not None:
            now = torch.cuda.current_stream(batch[0].device)
            now.wait_event(copied)
            # Or its memory might serve the next batch too early.
            mapped(lambda part: part.record_stream(now), list(batch))
        assert self._progress is not None
        self._progress.taken = max(self._progress.taken, number + 1)
        return batch

    def _start(self) -> None:
        """Begins the iteration, unless another thread does."""
        try:
            thread = self._unstarted.pop()
        except IndexError:
            return
        try:
            self._stream._begin(self._source, ahead=True)
            self._progress = _Progress(self._source, self._stream.told)
            self._latest.progress = self._progress
            _running[thread] = self._line
            thread.start()
        except BaseException:  # Ctrl-C, or there can be no more threads
            self._done = True
            self._line.stop()
            self._line.end()
            if not thread.is_alive():  # nobody else will
                _running.pop(thread, None)
            raise

    def state_dict(self) -> dict[str, int]:
        """How many samples all ranks' loops have taken, counted from the stream's first."""
        return self._source.state_dict() if self._progress is None else self._progress.state()

    def close(self) -> None:
        """Ends the thread and waits until it has; there are no more batches."""
        self._done = True
        self._line.stop()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()


class _Line:
    """Batches in a line between the thread and the loop, ``places`` of them at most.

    No lock is held that a signal's handler or the garbage collector might wait for: these queues
    may be entered again from both, and to stop is to set a flag that the thread looks at.
    """

    def __init__(self, places: int) -> None:
        self.stopped = False
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(places):
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
        """Lets the loops go that wait for a batch."""
        self._ready.put(None)

    def take(self) -> Any:
        what = self._ready.get()
        if what is None:
            self.end()  # for other threads that wait
        self._free.put(None)
        return what


class _Progress:
    """How far the loop is; outlives the iterator, so that a loop that was left can be resumed."""

    def __init__(self, source: StreamIterator, told: int) -> None:
        self.first, self.global_batch, self.taken = source.start, source.global_batch, 0
        self.told = told  # how often the stream had been told where to start

    def state(self) -> dict[str, int]:
        return {"samples": self.first + self.taken * self.global_batch}


class _Latest:
    """The progress of the iterator that began last; a loader and its iterators share it."""

    def __init__(self) -> None:
        self.progress: _Progress | None = None


#: The threads that draw. They end before the interpreter does, or it would pull the ground from
#: under them.
_running: dict[threading.Thread, _Line] = {}


@atexit.register
def _end_all() -> None:
    threads = list(_running.items())
    for _, line in threads:
        line.stop()
    for thread, _ in threads:
        while thread.is_alive():  # and not only started: Ctrl-C may have come before
            with contextlib.suppress(KeyboardInterrupt):  # for a batch at most
                thread.join()


def _draw_ahead(source: StreamIterator, deliver: _Deliver, line: _Line, gpu: int | None) -> None:
    try:
        if gpu is not None:
            torch.cuda.set_device(gpu)
        if line.stopped:
            return
        for number, batch in enumerate(source):
            line.put((number, *deliver(batch)))
            del batch  # while the next is drawn, this one is the loop's alone
            if line.stopped:
                return
    except BaseException as error:  # the loop raises it
        line.put(error)
    finally:
        line.end()
        _running.pop(threading.current_thread(), None)


def _checked_device(device: torch.device | str | int) -> torch.device:
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be one that torch knows, got {device!r}") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, and torch sees no GPU here")
    try:
        there = torch.empty(0, device=place).device  # with its number; other threads have another
    except Exception as error:  # each kind of device has its own
        raise ValueError(f"device is {device!r}, which does not work here: {error}") from error
    if there.type == "meta":
        raise ValueError("device is 'meta', which holds no pictures")
    return there
