"""Measures whether the network waits for images: ResNet-50 at 224², fed by the stream or by one
fixed batch that is already on the device.

    python benches/gpu.py                       # the first GPU, or this CPU with tiny batches
    python benches/gpu.py --compile --num-threads 1 2 4 8

Prints a table with images per second, the ratio to the fixed batch (the number that matters), and
the share of the time the host waited for a batch, which work queued on the GPU may hide.
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
    """Trains a network, in bfloat16 and channels-last on a GPU."""

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

    def rate(self, batches: Iterator[Batch], steps: int, warmup: int) -> tuple[float, float]:
        """Returns images per second, and the share of the time spent waiting for batches."""
        for _ in range(warmup):
            self.step(*next(batches))
        self.wait()
        start, waited, images = time.perf_counter(), 0.0, 0
        for _ in range(steps):
            before = time.perf_counter()
            inputs, labels = next(batches)
            waited += time.perf_counter() - before
            images += len(labels)
            self.step(inputs, labels)
        self.wait()
        elapsed = time.perf_counter() - start
        return images / elapsed, waited / elapsed

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

    with loader(max(a.num_threads)) as batches:
        fixed = next(iter(batches))
    fixed_rate, _ = steps.rate(forever(fixed), a.steps, a.warmup)
    yield [f"{name}: a fixed batch", number(fixed_rate), "1", ""]
    for threads in a.num_threads:
        with loader(threads) as batches:
            rate, waited = steps.rate(iter(batches), a.steps, a.warmup)
        source = f"{threads} thread{'s' if threads > 1 else ''}"
        yield [f"– fed by {source}", number(rate), f"{rate / fixed_rate:.3f}", f"{waited:.1%}"]


def report(arguments: list[str] | None = None) -> tuple[str, float | None]:
    """Returns the table, and the best rate with a fixed batch if there is a GPU."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet50", help="torchvision model (default: resnet50)")
    parser.add_argument("--size", type=int, default=224, help="image size (default: 224)")
    parser.add_argument("--batch-size", type=int, default=256 if gpu else 8)
    parser.add_argument("--steps", type=int, default=100 if gpu else 4)
    parser.add_argument("--warmup", type=int, default=20 if gpu else 1, help="steps not measured")
    threads = [n for n in (1, 2, 4, 8) if n <= fdsl.cores()]
    parser.add_argument("--num-threads", type=int, nargs="+", default=threads)
    parser.add_argument("--compile", action="store_true", help="also measure with torch.compile")
    a = parser.parse_args(arguments)
    device = torch.device("cuda" if gpu else "cpu")
    lines = list(rows(Steps(a.model, device, compiled=False), a.model, a))
    if a.compile:
        compiled = Steps(a.model, device, compiled=True)
        lines += rows(compiled, f"{a.model}, compiled", a)
    where = torch.cuda.get_device_name() if gpu else f"**no GPU**: CPU, {fdsl.cores()} cores"
    about = f"{where}; batches of {a.batch_size} at {a.size}², {a.steps} steps"
    text = table(f"{about} | images/s | ratio to fixed batch | host waited for data", lines)
    fixed = [float(line[1].replace(",", "")) for line in lines if "fixed" in line[0]]
    return text, max(fixed) if gpu else None


if __name__ == "__main__":
    print(report()[0])
