"""Two ranks under torchrun, on CPU, as a training script is started."""

import subprocess
import sys

import fdsl
import pytest

torch = pytest.importorskip("torch")
from fdsl.torch import Stream

SCRIPT = """
import sys
import fdsl, torch
from fdsl.torch import Stream

def main():
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    ifs = fdsl.IFS.load("ifs.npz")
    rendering = fdsl.Rendering(size=32, points=500)
    stream = Stream(ifs, rendering=rendering, batch_size=4, seed=3, steps_per_epoch=5)
    context = "spawn" if rank else "fork"
    loader = torch.utils.data.DataLoader(
        stream, batch_size=None, num_workers=2, multiprocessing_context=context
    )
    torch.save(list(loader), f"rank{rank}.pt")
    torch.distributed.destroy_process_group()

if __name__ == "__main__":
    main()
"""


def test_two_ranks_are_disjoint_and_together_what_one_rank_sees(tmp_path):
    ifs = fdsl.IFS.search(categories=5, fill_rate=0.05, seed=1, size=64, points=2000)
    ifs.save(tmp_path / "ifs.npz")
    (tmp_path / "train.py").write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run([*launcher, "--nproc-per-node", "2", "train.py"], cwd=tmp_path, check=True)
    zero, one = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))

    rendering = fdsl.Rendering(size=32, points=500)
    whole = Stream(ifs, rendering=rendering, batch_size=8, seed=3, steps_per_epoch=5)
    expected = list(whole)
    assert len(zero) == len(one) == len(expected) == 5
    for first, second, (images, labels) in zip(zero, one, expected, strict=True):
        assert torch.equal(torch.cat([first[0], second[0]]), images)
        assert torch.equal(torch.cat([first[1], second[1]]), labels)

    def pictures(batches):
        return {image.numpy().tobytes() for images, _ in batches for image in images}

    assert len(pictures(zero)) == len(pictures(one)) == 20
    assert not pictures(zero) & pictures(one)
