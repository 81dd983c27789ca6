"""The cluster scripts write the same files as one process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import fdsl
import fdsl.export
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = fdsl.Frame(size=32)


@pytest.fixture
def curves(tmp_path):
    fdsl.Bezier(9).save(tmp_path / "curves.npz")
    return tmp_path / "curves.npz"


def shards(folder):
    return {file.name: file.read_bytes() for file in folder.glob("*.tar")}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_the_tasks_of_a_slurm_array_write_every_shard(curves, tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = ["--instances", "6", "--shard-size", "10", "--size", "32"]
    for task in (4, 5, 6):
        slurm = {
            "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_ARRAY_TASK_MIN": "4",
            "SLURM_ARRAY_TASK_COUNT": "3",
            "SLURM_CPUS_PER_TASK": "2",
        }
        subprocess.run(
            ["bash", EXAMPLES / "export.slurm", curves, tmp_path / "out", *options],
            env={**os.environ, **slurm, "PATH": path},
            check=True,
        )
    fdsl.export.shards(
        fdsl.Bezier(9), tmp_path / "one", instances=6, shard_size=10, rendering=SMALL
    )
    assert shards(tmp_path / "out") == shards(tmp_path / "one")
    assert fdsl.export.finalize(tmp_path / "out")["images"] == 54
    usage = subprocess.run(["bash", EXAMPLES / "export.slurm"], capture_output=True, text=True)
    assert usage.returncode == 2 and usage.stderr.startswith("usage: ")


def test_ray_writes_every_shard(curves, tmp_path):
    pytest.importorskip("ray")
    arguments = [str(curves), str(tmp_path / "out"), "--instances", "6", "--shard-size", "10"]
    run = subprocess.run(
        [sys.executable, EXAMPLES / "export_ray.py", *arguments, "--parts", "3"],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert "54 images in 6 shards" in run.stdout
    fdsl.export.shards(fdsl.Bezier(9), tmp_path / "one", instances=6, shard_size=10)
    assert shards(tmp_path / "out") == shards(tmp_path / "one")
    mixed = subprocess.run(
        [sys.executable, EXAMPLES / "export_ray.py", *arguments, "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert mixed.returncode == 2
    assert mixed.stderr.splitlines()[-1].startswith("export_ray.py: error: ")
    assert "seed is 0 there and 1 here" in mixed.stderr.splitlines()[-1]
