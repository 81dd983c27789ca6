"""Writes a data set as webdataset shards on all machines of a Ray cluster.

    pip install '.[ray]' tyro tqdm
    python examples/export_ray.py fractaldb-1000 /shared/fractaldb

FOLDER is one that all machines see. Without a cluster Ray starts on this machine. Which task
writes a shard leaves no trace in it, so tasks that are lost with their machine are simply run
again, and a second run of the script writes what is missing.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import fdsl
import fdsl.export
import ray
import tyro
from settings import run_script
from tqdm import tqdm

PRESETS: dict[str, Callable[..., fdsl.Rendering]] = {
    "default": fdsl.Rendering,
    "paper": fdsl.Rendering.paper,
    "released": fdsl.Rendering.released,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Write shards on a Ray cluster."""

    source: tyro.conf.Positional[str]  # what fdsl.load takes: fractaldb-1000, perlin-100, a file
    folder: tyro.conf.Positional[Path]  # where to; all machines must see it
    instances: int = 1000  # of each category
    shard_size: int | None = None  # images per shard; if not given, as in fdsl export
    seed: int = 0  # of every address
    preset: Literal["default", "paper", "released"] = "default"  # how images are rendered
    parts: int | None = None  # tasks; if not given, one per core of the cluster
    address: str | None = None  # of the cluster; if not given, the one there is, or a new one here


def main(argv: Sequence[str] | None = None) -> int:
    return run_script(Settings, export, argv)


def export(a: Settings) -> int:
    """Shares the work, waits for it, and checks it."""
    if min(a.instances, a.shard_size or 1, a.parts or 1) < 1:
        raise ValueError("--instances, --shard-size and --parts must be 1 or more")
    family, rendering = fdsl.load(a.source), PRESETS[a.preset]()
    task = ray.remote(num_cpus=1, max_retries=3)(write_part)
    ray.init(address=a.address, log_to_driver=False, include_dashboard=False)
    try:
        parts = a.parts or max(1, int(ray.cluster_resources().get("CPU", 1)))
        what = {"instances": a.instances, "shard_size": a.shard_size, "seed": a.seed}
        shared = ray.put((family, str(a.folder.absolute()), {"rendering": rendering, **what}))
        waiting = [task.remote(shared, part, parts) for part in range(parts)]
        with tqdm(total=len(family) * a.instances, unit=" images", disable=None) as bar:
            while waiting:
                done, waiting = ray.wait(waiting)
                for written in ray.get(done):
                    bar.update(written)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # the sentence, not the task's traceback
    finally:
        ray.shutdown()
    found = fdsl.export.finalize(a.folder)
    print(f"{found['images']:,} images in {len(found['shards'])} shards: {a.folder}")
    return 0


def write_part(shared: tuple[fdsl.Family, str, dict[str, Any]], part: int, parts: int) -> int:
    """Writes every `parts`-th shard on one core; returns how many images exist now."""
    family, folder, settings = shared
    written = fdsl.export.shards(
        family, folder, job_index=part, num_jobs=parts, num_threads=1, **settings
    )
    return written.images + written.skipped


if __name__ == "__main__":
    sys.exit(main())
