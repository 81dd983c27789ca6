"""Ranks under torchrun, on CPU, as a training script is started."""

from pathlib import Path

import fdsl
import pytest
from processes import torchrun

torch = pytest.importorskip("torch")
from fdsl.torch import Stream

SCRIPT = """
import sys
import fdsl, torch
from fdsl.torch import Loader, Stream

def main():
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    ifs = fdsl.IFS.load("ifs.npz")
    rendering = fdsl.Rendering(size=32, num_points=500)
    size = 8 // torch.distributed.get_world_size()
    stream = Stream(ifs, rendering=rendering, batch_size=size, seed=3, steps_per_epoch=5)
    if rank % 3 == 2:
        loader = Loader(stream)
    else:
        loader = torch.utils.data.DataLoader(
            stream,
            batch_size=None,
            num_workers=2,
            multiprocessing_context="spawn" if rank else "fork",
        )
    torch.save(list(loader), f"rank{rank}.pt")
    torch.distributed.barrier()  # one that leaves early tears the others' connections
    torch.distributed.destroy_process_group()

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_are_disjoint_and_together_what_one_rank_sees(tmp_path, ranks):
    ifs = fdsl.IFS.search(categories=5, fill_rate=0.05, seed=1, size=64, num_points=2000)
    ifs.save(tmp_path / "ifs.npz")
    (tmp_path / "train.py").write_text(SCRIPT)
    torchrun(Path("train.py"), ranks=ranks, cwd=tmp_path)
    seen = [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(ranks)]

    rendering = fdsl.Rendering(size=32, num_points=500)
    whole = list(Stream(ifs, rendering=rendering, batch_size=8, seed=3, steps_per_epoch=5))
    assert [len(batches) for batches in seen] == [5] * ranks
    for parts, (images, labels) in zip(zip(*seen, strict=True), whole, strict=True):
        assert torch.equal(torch.cat([part[0] for part in parts]), images)
        assert torch.equal(torch.cat([part[1] for part in parts]), labels)

    # Together they are what one rank sees, image by image; so no two are the same.
    different = {image.numpy().tobytes() for images, _ in whole for image in images}
    assert len(different) == 40
