"""Does the network wait for pictures? ResNet-50 at 224², fed by the stream, beside one fixed batch
that lies on the device already.

    python benches/gpu.py                       # the first GPU, else this CPU with tiny batches
    python benches/gpu.py --compile --num-threads 1 2 4 8

Prints a table: pictures a second, their share of the fixed batch's (what counts), and the share of
the time that the host waited for a batch, which work queued on a GPU may hide.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import fdsl
import torch
import torch.nn.functional as F
import torchvision
from fdsl.torch import Loader, Normalize, Stream
from measure import number, table
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


class Steps:
    """Training steps of a network: bfloat16 and channels-last on a GPU."""

    def __init__(self, model: str, device: torch.device, *, compiled: bool) -> None:
        self.device, self.gpu = device, device.type == "cuda"
        torch.backends.cudnn.benchmark = True
        network = torchvision.models.get_model(model, weights=None, num_classes=10)
        self.network: Any = network.to(device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
        if compiled:
            self.network = torch.compile(self.network)

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.gpu):
            logits = self.network(inputs.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own stub
        self.optimizer.step()

    def rate(self, batches: Iterator[Batch], steps: int, warm: int) -> tuple[float, float]:
        """Pictures a second, and the share of the time that the next batch was waited for."""
        for _ in range(warm):
            self.step(*next(batches))
        self.wait()
        start, waited, pictures = time.perf_counter(), 0.0, 0
        for _ in range(steps):
            asked = time.perf_counter()
            inputs, labels = next(batches)
            waited += time.perf_counter() - asked
            pictures += len(labels)
            self.step(inputs, labels)
        self.wait()
        passed = time.perf_counter() - start
        return pictures / passed, waited / passed

    def wait(self) -> None:
        if self.gpu:
            torch.cuda.synchronize(self.device)


def forever(batch: Batch) -> Iterator[Batch]:
    while True:
        yield batch


def rows(steps: Steps, name: str, a: argparse.Namespace) -> Iterator[list[str]]:
    ifs = fdsl.fractaldb(10)
    dtype = torch.bfloat16 if steps.gpu else torch.float32
    normalize: nn.Module = Normalize(mean=0.2, std=0.5, dtype=dtype)
    rendering = fdsl.Rendering.paper(size=a.size * 8 // 7, crop=a.size)

    def loader(threads: int) -> Loader:
        stream = Stream(ifs, rendering=rendering, batch_size=a.batch_size, num_threads=threads)
        return Loader(stream, device=steps.device, transform=normalize)

    with loader(max(a.num_threads)) as some:
        fixed = next(iter(some))
    still, _ = steps.rate(forever(fixed), a.steps, a.warm)
    yield [f"{name}: a fixed batch", number(still), "1", ""]
    for threads in a.num_threads:
        with loader(threads) as fed:
            rate, waited = steps.rate(iter(fed), a.steps, a.warm)
        threads_named = f"{threads} thread{'s' if threads > 1 else ''}"
        yield [f"– fed by {threads_named}", number(rate), f"{rate / still:.3f}", f"{waited:.1%}"]


def report(arguments: list[str] | None = None) -> tuple[str, float | None]:
    """The table, and the best rate of a fixed batch on a GPU."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet50", help="of torchvision (default: resnet50)")
    parser.add_argument("--size", type=int, default=224, help="side of a picture (default: 224)")
    parser.add_argument("--batch-size", type=int, default=256 if gpu else 8)
    parser.add_argument("--steps", type=int, default=100 if gpu else 4)
    parser.add_argument("--warm", type=int, default=20 if gpu else 1, help="steps not counted")
    threads = [n for n in (1, 2, 4, 8) if n <= fdsl.cores()]
    parser.add_argument("--num-threads", type=int, nargs="+", default=threads)
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    a = parser.parse_args(arguments)
    device = torch.device("cuda" if gpu else "cpu")
    lines = list(rows(Steps(a.model, device, compiled=False), a.model, a))
    if a.compile:
        compiled = Steps(a.model, device, compiled=True)
        lines += rows(compiled, f"{a.model}, compiled", a)
    where = torch.cuda.get_device_name() if gpu else f"**no GPU here**: CPU, {fdsl.cores()} cores"
    about = f"{where}; batches of {a.batch_size} at {a.size}², {a.steps} steps"
    text = table(f"{about} | pictures/s | of the fixed batch's | host waited for data", lines)
    fixed = [float(line[1].replace(",", "")) for line in lines if "fixed" in line[0]]
    return text, max(fixed) if gpu else None


if __name__ == "__main__":
    print(report()[0])
