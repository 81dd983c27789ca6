"""Writes a data set as webdataset shards on all machines of a Ray cluster.

    pip install '.[ray]' tyro tqdm
    python examples/export_ray.py fractaldb-1000 /shared/fractaldb

All machines must see FOLDER. Without a cluster, Ray starts on this machine. A shard does not depend
on the task that writes it: tasks that are lost with a machine are retried, and a second run of the
script writes the missing shards.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import fdsl
import fdsl.export
import ray
import tyro
from fdsl.families.published import preset
from tqdm import tqdm


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Write shards on a Ray cluster."""

    source: tyro.conf.Positional[str]  # Render these: fractaldb-1000, perlin-100, or a file.
    folder: tyro.conf.Positional[Path]  # Write to this folder, which all machines must see.
    instances: int = 1000  # Render this many images of each category.
    shard_size: int | None = None  # Put this many images into a shard (default: as fdsl export).
    seed: int = 0  # Seed every image.
    # Render with these settings.
    preset: Literal["default", "paper", "released", "wacv22", "published"] = "default"
    parts: int | None = None  # Divide the work into this many tasks, not one per core.
    address: str | None = None  # Use the cluster at this address, not one that is found here.


def main(argv: Sequence[str] | None = None) -> int:
    try:
        return export(tyro.cli(Settings, args=argv))
    except (ValueError, OSError) as error:
        print(f"export_ray.py: error: {error}", file=sys.stderr)
        return 2


def export(a: Settings) -> int:
    """Distributes the work, waits for it, and checks the result."""
    if min(a.instances, a.shard_size or 1, a.parts or 1) < 1:
        raise ValueError("--instances, --shard-size and --parts must be 1 or more")
    family = fdsl.load(a.source)
    rendering = None if a.preset == "default" else preset(a.preset, family, source=a.source)
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
        raise error.cause from None  # shows the message, not the task's traceback
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
