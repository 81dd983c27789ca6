"""Measures the memory of a process that takes images from a Loader; prints JSON.

python benches/memory.py 100000
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import fdsl
import stream
from fdsl.torch import Loader, Stream


def resident() -> float:
    """Returns the resident memory of this process in MiB."""
    if not Path("/proc/self/statm").exists():
        raise SystemExit("memory is read from /proc, which this system does not have")
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    images, measurements = int(sys.argv[1]), 10
    ifs = fdsl.fractaldb(10)
    interpreter, above, taken = resident(), [], 0
    with Loader(Stream(ifs, rendering=stream.RENDERING, batch_size=256)) as loader:
        for _, labels in loader:
            taken += len(labels)
            if taken >= images * (len(above) + 1) / measurements:
                above.append((taken, resident() - interpreter))
            if taken >= images:
                break
    json.dump({"interpreter": interpreter, "above": above}, sys.stdout)


if __name__ == "__main__":
    main()
