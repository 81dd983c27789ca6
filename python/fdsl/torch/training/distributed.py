"""The processes that train together: the rank and device of this one, and communication."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from fdsl.torch.ranks import ranks_of_launcher

T = TypeVar("T")


class Ranks:
    """The processes that ``torchrun`` started, or this one alone. A context manager that starts
    ``torch.distributed`` if there are several, and shuts it down.

    >>> with Ranks("cpu") as ranks:
    ...     ranks.rank, ranks.world_size, ranks.device
    (0, 1, device(type='cpu'))

    Args:
        device: ``"auto"`` uses a GPU if there is one, else the CPU. With ``"cuda"``, each process
            uses the GPU of its local rank.

    Raises:
        ValueError: the device does not exist or does not work here.
    """

    def __init__(self, device: str = "auto") -> None:
        #: The rank of this process, and the number of processes.
        self.rank, self.world_size = ranks_of_launcher() or (0, 1)
        #: The device that this process trains on.
        self.device = _device(device)

    def __enter__(self) -> Ranks:
        if self.world_size > 1:  # gloo as well: control messages need not wait for the GPU
            cuda = self.device.type == "cuda"
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None
    ) -> None:
        # After an error the other ranks may never get here, and destroying the group would hang.
        if self.world_size > 1 and kind is None:
            dist.destroy_process_group()

    def share(self, batch_size: int) -> int:
        """Returns this rank's part of a batch.

        Raises:
            ValueError: the ranks cannot have equal parts.
        """
        if batch_size % self.world_size:
            raise ValueError(
                f"batch_size must be divisible by the {self.world_size} ranks, got {batch_size}"
            )
        return batch_size // self.world_size

    def from_first(self, make: Callable[[], T]) -> T:
        """Calls a function on rank 0, and returns its (pickled) result, or raises its error, on all
        ranks."""
        if self.world_size == 1:
            return make()
        result: list[Any] = [None, None]  # the value and the error
        own: Exception | None = None
        if self.rank == 0:
            try:
                result[0] = make()
            except Exception as error:
                own, result[1] = error, _sendable(error)
        dist.broadcast_object_list(result, device=torch.device("cpu"))
        if (failure := own or result[1]) is not None:
            raise failure
        value: T = result[0]
        return value

    def one_first(self, make: Callable[[], T]) -> T:
        """Calls a function on all ranks: first on rank 0, then on one rank of each other machine,
        then on the rest, which find what those before them have downloaded or unpacked. Machines
        may share a disk."""
        if self.world_size == 1:
            return make()
        # The usual half an hour is too short to download or unpack ImageNet.
        patient: Any = dist.new_group(backend="gloo", timeout=timedelta(days=1))
        turn = 2 if int(os.environ.get("LOCAL_RANK", "0")) else min(self.rank, 1)
        for _ in range(turn):
            dist.barrier(patient)
        try:
            made = make()
        except BaseException:
            with contextlib.suppress(RuntimeError):  # the others may have ended, too
                for _ in range(turn, 2):
                    dist.barrier(patient)
            raise
        for _ in range(turn, 2):
            dist.barrier(patient)
        return made

    def wrap(
        self, model: nn.Module, *, channels_last: bool = False, compile: bool = False
    ) -> nn.Module:
        """Moves the model to the device, and wraps it for training: if there are several ranks, it
        averages the gradients over them; with ``compile``, it is compiled.

        ``channels_last`` is the memory layout that suits convolutions in bfloat16; the first
        convolution converts the inputs.
        """
        layout = torch.channels_last if channels_last else torch.contiguous_format
        network: Any = model.to(self.device).to(memory_format=layout)
        if self.world_size > 1:
            # Otherwise DDP rebuilds its gradient buckets after the first step, and with three or
            # more ranks a resumed run would sum its first gradients in a different order.
            exact = torch.are_deterministic_algorithms_enabled()
            network = nn.parallel.DistributedDataParallel(network, find_unused_parameters=exact)
        if compile:
            network = torch.compile(network)
        wrapped: nn.Module = network
        return wrapped

    def autocast(self, on: bool = True) -> torch.autocast:
        """Returns a bfloat16 autocast. It has an effect only if ``on`` is set and the GPU supports
        bfloat16: GPUs before Ampere (8.0) emulate it slowly, and compute in float32 here, as a CPU
        does."""
        if on and self.device.type == "cuda":
            on = torch.cuda.get_device_capability(self.device) >= (8, 0)
        else:
            on = False
        return torch.autocast(self.device.type, torch.bfloat16, enabled=on)

    def manual_seed(self, seed: int, step: int) -> None:
        """Seeds torch's generators for a step, differently on each rank.

        Dropout is then a function of the step, and a checkpoint does not need the state of the
        generators.
        """
        # Hashed, since torch's CPU generator reads only 32 bits of its seed.
        mixed = np.random.SeedSequence((seed, step, self.rank)).generate_state(1)
        torch.manual_seed(int(mixed[0]))


def make_deterministic(on: bool = True) -> None:
    """Chooses between speed and runs that are bit-identical on the same hardware.

    Call it before the first computation on a GPU, and before ``Ranks.wrap``.
    """
    if on:  # cuBLAS reads it once, before its first product
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(on)
    # It times convolutions to choose the fastest; after a resume, another one may win.
    torch.backends.cudnn.benchmark = not on


def reduced(numbers: Tensor, operation: Literal["SUM", "MIN", "MAX"] = "SUM") -> Tensor:
    """Returns the sum, minimum or maximum of all ranks' tensors, on the CPU."""
    if not (dist.is_available() and dist.is_initialized()):
        return numbers.cpu()
    # A group with only NCCL cannot reduce tensors on the CPU.
    numbers = numbers.to("cuda" if dist.get_backend() == "nccl" else "cpu", copy=True)
    dist.all_reduce(numbers, getattr(dist.ReduceOp, operation))
    return numbers.cpu()


def is_first() -> bool:
    """Whether this is rank 0 of ``torch.distributed``, or the only process."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def _sendable(error: Exception) -> Exception:
    """Returns an error as other processes can raise it."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:  # an exception of any package
        return RuntimeError(f"{type(error).__name__}: {error}")


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if name == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name}: {str(error).splitlines()[0]}") from error
