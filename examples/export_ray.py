"""Writes a data set as webdataset shards on all machines of a Ray cluster.

    pip install 'fdsl[export,ray]'
    python examples/export_ray.py fractaldb-1000 /shared/fractaldb

FOLDER is one that all machines see. Without a cluster Ray starts on this machine. Which task
writes a shard leaves no trace in it, so tasks that are lost with their machine are simply run
again, and a second run of the script writes what is missing.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fdsl
import fdsl.export
import ray
import settings as command_line
from tqdm import tqdm


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write shards on a Ray cluster.")
    add = parser.add_argument
    add("categories", help="what fdsl.load takes: fractaldb-1000, perlin-100, a file, a folder")
    add("folder", type=Path, help="where to; all machines must see it")
    add("--instances", type=int, default=1000, help="of each category (default: 1000)")
    add("--shard-size", type=int, default=10_000, help="pictures a shard (default: 10000)")
    add("--seed", type=int, default=0, help="of every address (default: 0)")
    add("--recipe", choices=["default", "paper", "released"], default="default")
    add("--parts", type=int, help="tasks (default: one a core of the cluster)")
    add("--address", help="of the cluster (default: the one there is, or a new one here)")
    arguments = parser.parse_args(argv)
    return command_line.run("export_ray.py", lambda: export(arguments))


def export(a: argparse.Namespace) -> int:
    """Shares the work, waits for it, and checks it."""
    command_line.at_least(1, a, "parts", "instances", "shard_size")
    recipes: dict[str, Callable[..., fdsl.Rendering]] = {
        "default": fdsl.Rendering,
        "paper": fdsl.Rendering.paper,
        "released": fdsl.Rendering.released,
    }
    family, rendering = fdsl.load(a.categories), recipes[a.recipe]()
    task = ray.remote(num_cpus=1, max_retries=3)(write_part)
    ray.init(address=a.address, log_to_driver=False, include_dashboard=False)
    try:
        parts = a.parts or max(1, int(ray.cluster_resources().get("CPU", 1)))
        what = {"instances": a.instances, "shard_size": a.shard_size, "seed": a.seed}
        shared = ray.put((family, str(a.folder.absolute()), {"rendering": rendering, **what}))
        waiting = [task.remote(shared, part, parts) for part in range(parts)]
        with tqdm(total=len(family) * a.instances, unit=" pictures", disable=None) as bar:
            while waiting:
                done, waiting = ray.wait(waiting)
                for written in ray.get(done):
                    bar.update(written)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # the sentence, not the task's traceback
    finally:
        ray.shutdown()
    found = fdsl.export.finalize(a.folder)
    print(f"{found['pictures']:,} pictures in {len(found['shards'])} shards: {a.folder}")
    return 0


def write_part(shared: tuple[fdsl.Family, str, dict[str, Any]], part: int, parts: int) -> int:
    """Writes every `parts`-th shard on one core; returns how many pictures are there now."""
    family, folder, settings = shared
    written = fdsl.export.shards(
        family, folder, shard_index=part, num_shards=parts, threads=1, **settings
    )
    return written.pictures + written.skipped


if __name__ == "__main__":
    sys.exit(main())
