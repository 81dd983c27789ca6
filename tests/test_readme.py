"""Every command and code block of the README and the docs runs, and the gallery is what it says."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import fdsl.cli
import numpy as np
import pytest
from pages import blocks
from scripts import ran

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
TINY = {
    "pretrain.py": "--model resnet18 --categories 2 --size 40 --crop 32 --num-points 500 "
    "--batch-size 4 --max-steps 2",
    "finetune.py": "--size 32 --batch-size 20 --per-class 2 --epochs 1",
    "studies": "--scale smoke",
}
#: What makes a command small, where an option given twice is the last one given.
SMALLER = {
    "export": "--instances 100 --size 32",
    "preview": "--size 32",
}
#: ... of fractals only.
FEWER = "--num-points 500"
#: Packages that a page's Python needs, other than torch and webdataset.
NEEDS = {
    "files.md": ("PIL", "pycocotools", "timm", "torchvision"),
    "trainers.md": ("accelerate", "lightning", "timm", "transformers"),
    "transforms.md": ("kornia", "torchvision"),
}
CHECKS = {
    "README.md": """
assert tuple(inputs.shape) == (32, 3, 224, 224), inputs.shape
assert images.shape == (3, 256, 256) and images.dtype == "uint8"
assert target["masks"].shape == (len(target["boxes"]), 224, 224), target["masks"].shape
assert state == {"samples": 8}, state
""",
    "files.md": """
assert tuple(images.shape) == (32, 64, 64) and str(images.dtype) == "torch.uint8"
assert tuple(labels.shape) == (32,) and set(images.unique().tolist()) == {0, 127}
assert (image.size, label) == ((64, 64), 0)
assert mask.shape == (64, 64) and mask.dtype == "uint8" and 1 <= mask.max() <= 10
assert len(found["boxes"]) == len(found["labels"]) == objects.max()
assert target["boxes"].shape == (len(target["labels"]), 4) and target["masks"].shape[1:] == (64, 64)
""",
    "training.md": """
assert tuple(inputs.shape) == (16, 3, 224, 224), inputs.shape
assert state == {"samples": 16}, state
""",
    "contours.md": "assert images.shape == (3, 256, 256, 3) and image.shape == (512, 512)",
    "datasets.md": """
assert images.shape == (1000, 362, 362) and len(data_set) == 1000 and noise.octaves == 3
""",
    "explore.md": "assert image.pixels.shape == (260, 1040)",
    "transforms.md": """
assert tuple(crops.shape) == (8, 3, 48, 48) and crops.max() <= 1
assert tuple(images.shape) == (8, 3, 64, 64) and len(images.unique(dim=0)) == 8
assert tuple(masks.shape) == (8, 64, 64) and masks.dtype == torch.int64 and 1 <= masks.max() <= 10
with Loader(stream, transforms=lambda images, labels: mix(normalize(images), labels)) as loader:
    assert all(next(iter(loader)).targets.shape == (8, 10) for _ in range(4))
boxes, masks = target["boxes"].long(), target["masks"]
assert image.shape == (1, 64, 64) and len(boxes) == len(masks) == len(target["labels"]) > 0
for (left, top, right, bottom), mask in zip(boxes, masks):
    assert mask.sum() == mask[top:bottom, left:right].sum() and mask[top:bottom, left:right].any()
""",
    "trainers.md": "assert len(stream) == 3",
    "families.md": "assert image.shape == mask.shape == (64, 64)",
    "ifs3d.md": "assert images.shape == (12, 224, 224) and clouds.shape == (3, 10_000, 3)",
    "paper.md": "assert image.shape == (362, 362)",
    "scenes.md": """
assert image.shape == mask.shape == (512, 512) and mask.max() <= 254
assert np.concatenate(sheet).shape == (768, 1152, 3)
""",
    "tutorial.md": """
assert images.shape == (64, 1, 32, 32) and len(losses) == 400
assert losses[-1] < np.log(100) < losses[0]
assert pretrained > 0.5
""",
}
#: What a page takes from another one.
FAMILIES = blocks(ROOT / "docs/families.md", "python")
BEFORE = {
    "files.md": ["import fdsl", "import numpy as np"]
    + [block.split("\n\n\n")[0] for block in FAMILIES if "class Squares" in block]
}


def commands(page):
    lines = [
        line.split("#")[0].strip() for block in blocks(page, "bash") for line in block.splitlines()
    ]
    return [command for line in lines for command in line.split(" && ") if command]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    # tests/test_loaders.py runs the sections of loaders.md, each by itself.
    [page for page in PAGES if blocks(page, "python") and page.name != "loaders.md"],
    ids=lambda page: page.name,
)
def test_the_python_blocks_run_one_after_the_other(page, tmp_path):
    for name in ("torch", "webdataset", *NEEDS.get(page.name, ())):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    # As a script and in an empty folder, as a stranger would: workers may be spawned.
    checks = textwrap.indent(CHECKS[page.name], "    ")
    code = "\n".join([*BEFORE.get(page.name, ()), *blocks(page, "python")])
    script = tmp_path / "page.py"
    script.write_text(f'{code}\nif __name__ == "__main__":\n{checks}', "utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1"}
    run = ran([sys.executable, script], cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr[-2000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_kind_of_command_is_known(page):
    known = ("pip install ", "make ", "python examples/", "fdsl ")
    known += ("python train.py --device-modules fdsl.timm ",)  # timm's; tests/test_timm.py runs it
    assert [line for line in commands(page) if not line.startswith(known)] == []


@pytest.mark.parametrize("line", [line for line in commands(README) if line.startswith("make ")])
def test_the_make_targets_exist(line):
    if shutil.which("make") is None:
        pytest.skip("no make here")
    subprocess.run([*line.replace("make", "make -n", 1).split()], cwd=ROOT, check=True)


@pytest.mark.slow
def test_the_scripts_run_as_written_but_smaller(tmp_path):
    pytest.importorskip("torchvision")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for line in commands(README):
        if line.startswith("python "):
            script = line.split()[1].split("/")[1]
            arguments = [sys.executable, *line.split()[1:], *TINY[script].split()]
            run = ran(arguments, cwd=tmp_path)
            assert run.returncode == 0, run.stderr[-2000:]
    assert (tmp_path / "runs" / "digits" / "result.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if page.stem != "gallery" and any(line.startswith("fdsl ") for line in commands(page))
    ],
    ids=lambda page: page.name,
)
def test_the_fdsl_commands_run_as_written_but_smaller(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fdsl.fractaldb(10).save("categories.npz")
    fdsl.Scene([fdsl.Bezier(4), fdsl.fractaldb(5)]).save("scene.npz")
    for line in commands(page):
        if line.startswith("fdsl "):
            words = shlex.split(line.replace("fractaldb-1000", "fractaldb-10"))[1:]
            words = words[: words.index(">")] if ">" in words else words  # to a file
            if "--num-jobs" in words:  # one job of an array; the others have other folders
                words[2] = "part"
            smaller = SMALLER.get(words[0], "")
            if smaller and words[1].startswith(("fractaldb", "categories")):
                smaller = f"{smaller} {FEWER}"
            assert fdsl.cli.main([*words, *smaller.split()]) == 0, line


@pytest.mark.slow
def test_the_gallery_shows_what_its_commands_draw(tmp_path, monkeypatch):
    Image = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    Path("docs/gallery").mkdir(parents=True)
    fdsl.IFS.sample(6, seed=4).save("contractive.npz")  # as the page says
    page = ROOT / "docs/gallery.md"
    fdsl.DeadLeaves.paper("mixed", texture=fdsl.Spectrum(49)).save("textured.npz")
    for line in commands(page):
        assert fdsl.cli.main(shlex.split(line)[1:]) == 0
    drawn = sorted(Path("docs").rglob("*.png"))
    shown = set(re.findall(r"!\[.*?\]\((.*?)\)", page.read_text(encoding="utf-8")))
    assert {file.relative_to("docs").as_posix() for file in drawn} == shown
    for file in drawn:
        ours, theirs = (np.array(Image.open(at).convert("RGB")) for at in (file, ROOT / file))
        assert ours.shape == theirs.shape
        # All but the margins: Pillow's letters may change, images may not.
        np.testing.assert_array_equal(ours[16:, 48:], theirs[16:, 48:], err_msg=str(file))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pictures_and_links_are_there(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target
