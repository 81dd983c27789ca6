"""A stream in this process, drawn ahead of the training loop."""

from __future__ import annotations

import atexit
import functools
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Literal

import torch
from torch import nn

from fdsl._checks import checked_positive, checked_type
from fdsl.torch.stream import Sample, Stream, StreamIterator

#: What becomes of a batch that is drawn: as the loop gets it, and when it is there on the device.
_Deliver = Callable[[Sample], "tuple[Sample, torch.cuda.Event | None]"]


class Loader:
    """Draws a stream ahead of the training loop: a thread of this process, no worker processes.

    While the loop works on one batch, all cores draw the next ones straight into the memory that
    the loop gets: nothing is pickled, copied or handed from process to process. Batches, state and
    resume are those of ``Stream`` under torch's ``DataLoader``, to the byte.

    Memory is new for each batch and never drawn into again while somebody holds a part of it, so
    a batch may be kept. ``prefetch`` batches are ready at most, beside the one that is drawn and
    those that the loop holds. Closing, an exception, the end of the epoch or forgetting the
    iterator end the thread, once it has drawn the batch that it is at.

    >>> import fdsl
    >>> from fdsl.torch import Loader, Stream
    >>> ifs = fdsl.IFS.search(categories=10, fill_rate=0.2, seed=1)
    >>> stream = Stream(ifs, rendering=fdsl.Rendering.paper(), batch_size=4, steps_per_epoch=2)
    >>> with Loader(stream) as loader:
    ...     [tuple(images.shape) for images, labels in loader]
    [(4, 1, 224, 224), (4, 1, 224, 224)]

    Args:
        stream: what to draw; its ``batch_size`` may not be ``None``.
        prefetch: how many batches may be ready, 1 or more.
        device: copy batches there, on a CUDA device beside the computation; if not given they
            stay in this process's memory.
        normalize: what becomes of the images on ``device``, such as ``Normalize()``; it is moved
            there, and its gradients are not recorded. Random numbers that it draws are those of
            the process, in no fixed order with the network's.
        pin_memory: draw into page-locked memory, from which copies to a GPU need not be waited
            for; if not given, where there is a GPU and ``device`` is not another.

    Yields:
        (images, labels): as ``Stream`` does, uint8 (B, C, H, W) and int64 (B,), on ``device``; or
        what ``normalize`` makes of the images.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: an argument is out of range, or the device does not work here.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        prefetch: int = 2,
        device: torch.device | str | int | None = None,
        normalize: nn.Module | None = None,
        pin_memory: bool | None = None,
    ) -> None:
        self.stream: Stream = checked_type("stream", stream, Stream)
        if stream.batch_size is None:
            raise ValueError("a Loader hands out batches: give its stream a batch_size, not None")
        self.prefetch = checked_positive("prefetch", prefetch)
        self.device = None if device is None else _checked_device(device)
        self.normalize: nn.Module | None = (
            None if normalize is None else checked_type("normalize", normalize, nn.Module)
        )
        if self.normalize is not None and self.device is not None:
            self.normalize.to(self.device)
        if pin_memory is None:
            on_gpu = self.device is None or self.device.type == "cuda"
            self.pin_memory = torch.cuda.is_available() and on_gpu
        else:
            self.pin_memory = bool(checked_type("pin_memory", pin_memory, bool))
            if self.pin_memory and not torch.cuda.is_available():
                raise ValueError("pin_memory needs a GPU, and torch sees none here")
        self._place: _Place | None = None
        self._iterators: weakref.WeakSet[LoaderIterator] = weakref.WeakSet()

    def __iter__(self) -> LoaderIterator:
        # torch keeps page-locked memory for a later batch, and hands it out again only when nobody
        # holds it and no copy from it is under way.
        empty = functools.partial(torch.empty, dtype=torch.uint8, pin_memory=self.pin_memory)
        # Its own place in the stream: other iterators of this loader go on where they are.
        source = StreamIterator(self.stream, 0, 1, empty)
        self.stream._ahead()
        self._place = _Place(source, self.stream._told)
        gpu = None
        if self.device is not None and self.device.type == "cuda":
            gpu = self.device.index
        elif self.pin_memory:
            gpu = torch.cuda.current_device()  # a new thread's would be the first
        iterator = LoaderIterator(source, self._place, self._deliver(), self.prefetch, gpu)
        self._iterators.add(iterator)
        return iterator

    def __len__(self) -> int:
        """Batches in the next iteration; fewer than ``steps_per_epoch`` after a resume."""
        return len(self.stream)

    def set_epoch(self, epoch: int) -> None:
        """Picks the epoch of the next iteration, as ``Stream.set_epoch`` does."""
        self.stream.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """Returns {"samples": n}: how many samples the loops of all ranks have taken.

        What is drawn ahead does not count. It is a stream's state: either may go on from it.
        """
        if self._place is None or self._place.told != self.stream._told:
            return self.stream.state_dict(batches=0)
        return self._place.state()

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
        return {**self.__dict__, "_place": None, "_iterators": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._iterators = weakref.WeakSet()

    def __repr__(self) -> str:
        where = "" if self.device is None else f", device={str(self.device)!r}"
        return f"<Loader of {self.stream!r}, prefetch={self.prefetch}{where}>"

    def _deliver(self) -> _Deliver:
        """Returns what the thread does with a batch; it may not hold the loader."""
        device, normalize = self.device, self.normalize
        if device is None and normalize is None:
            return lambda batch: (batch, None)
        side = None
        if device is not None and device.type == "cuda":
            side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own stub
            side.wait_stream(torch.cuda.current_stream(device))  # where `normalize` was made

        def deliver(batch: Sample) -> tuple[Sample, torch.cuda.Event | None]:
            images, labels = batch
            with torch.no_grad(), torch.cuda.stream(side):
                if device is not None:
                    # Elsewhere nothing would keep the bytes until they are copied.
                    images = images.to(device, non_blocking=side is not None)
                    labels = labels.to(device, non_blocking=side is not None)
                if normalize is not None:
                    images = normalize(images)
                return (images, labels), None if side is None else side.record_event()

        return deliver


class LoaderIterator(Iterator[Sample]):
    """One walk through a stream, by a thread that draws ahead until it is closed or dropped."""

    def __init__(
        self,
        source: StreamIterator,
        place: _Place,
        deliver: _Deliver,
        prefetch: int,
        gpu: int | None,
    ) -> None:
        self._place, self._process, self._done = place, os.getpid(), False
        # The thread knows the line and not this iterator, or nobody could drop it.
        self._line = _Line(prefetch)
        self._thread = threading.Thread(
            target=_draw_ahead,
            args=(source, deliver, self._line, gpu),
            name="fdsl-loader",
            daemon=True,
        )
        # Garbage may be collected by any thread, whatever it holds: nothing is waited for then.
        weakref.finalize(self, self._line.stop)
        _running[self._thread] = self._line
        self._thread.start()

    def __next__(self) -> Sample:
        if os.getpid() != self._process:
            raise RuntimeError("a forked process has no thread that draws: iterate its loader anew")
        ready = None if self._done else self._line.take()
        if ready is None:
            self.close()
            raise StopIteration
        if isinstance(ready, BaseException):
            self.close()
            if isinstance(ready, StopIteration):  # would end the epoch without a word
                raise RuntimeError("normalize raised StopIteration") from ready
            raise ready
        number: int = ready[0]
        batch: Sample = ready[1]
        copied: torch.cuda.Event | None = ready[2]
        if copied is not None:
            now = torch.cuda.current_stream(batch[0].device)
            now.wait_event(copied)
            for part in batch:
                part.record_stream(now)  # or its memory might serve the next batch too early
        self._place.taken = number + 1
        return batch

    def state_dict(self) -> dict[str, int]:
        """How many samples all ranks' loops have taken, counted from the stream's first."""
        return self._place.state()

    def close(self) -> None:
        """Ends the thread and waits until it has; there are no more batches."""
        self._done = True
        self._line.stop()
        if self._thread is not threading.current_thread():
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
        """Lets the loop go that waits for a batch."""
        self._ready.put(None)

    def take(self) -> Any:
        what = self._ready.get()
        self._free.put(None)
        return what


class _Place:
    """How far the loop is; outlives the iterator, so that a loop that was left can be resumed."""

    def __init__(self, source: StreamIterator, told: int) -> None:
        self.first, self.global_batch, self.taken = source._start, source._global_batch, 0
        self.told = told  # how often the stream had been told where to start

    def state(self) -> dict[str, int]:
        return {"samples": self.first + self.taken * self.global_batch}


#: The threads that draw. They end before the interpreter does, or it would pull the ground from
#: under them.
_running: dict[threading.Thread, _Line] = {}


@atexit.register
def _end_all() -> None:
    for thread, line in list(_running.items()):
        line.stop()
        thread.join()


def _draw_ahead(source: StreamIterator, deliver: _Deliver, line: _Line, gpu: int | None) -> None:
    try:
        if gpu is not None:
            torch.cuda.set_device(gpu)
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
