"""Exports in COCO's format: read back by torchvision, checked, and the same from any processes."""

import json
import shutil
import sys

import fdsl
import fdsl.export
import numpy as np
import pytest
from families_in_python import Disks, Scenes
from fdsl.cli import main

SCENES = Scenes(7)
FRAME = fdsl.Frame(size=(40, 56), crop=(32, 30))
SETTINGS = {"instances": 5, "rendering": FRAME, "seed": 3, "shard_size": 20}


class Fragile(Scenes):
    """Cannot render one of its images."""

    name = "fragile"

    def draw(self, category, rng, frame):
        if category == 4 and Fragile.fails:
            raise OSError("the lamp went out")
        return super().draw(category, rng, frame)


def write(folder, **changes):
    return fdsl.export.coco(**{"family": SCENES, **SETTINGS, **changes}, folder=folder)


def contents(folder):
    """All files of an export, by their paths in it."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize(
    ("frame", "empty"),
    [(fdsl.Frame(size=(40, 56), crop=(9, 8)), True), (fdsl.Frame(size=24, color=True), False)],
)
def test_torchvision_reads_back_what_the_stream_has(tmp_path, frame, empty):
    pytest.importorskip("pycocotools")
    datasets = pytest.importorskip("torchvision.datasets")
    fdsl_torch = pytest.importorskip("fdsl.torch")
    assert write(tmp_path, rendering=frame).images == 35
    assert fdsl.export.finalize(tmp_path)["images"] == 35
    stream = fdsl_torch.Stream(
        SCENES, rendering=frame, target="boxes", batch_size=35, seed=3, instances=5
    )
    images, wanted = next(iter(stream))
    read = datasets.CocoDetection(tmp_path / "images", tmp_path / "annotations.json")
    assert len(read) == 35 and any(not len(one["boxes"]) for one in wanted) == empty
    seen = set()
    for (image, found), pixels, target in zip(read, images, wanted, strict=True):
        gray = np.asarray(image).transpose(2, 0, 1)
        np.testing.assert_array_equal(gray, np.broadcast_to(pixels, (3, *pixels.shape[1:])))
        boxes = np.array([one["bbox"] for one in found], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        np.testing.assert_array_equal(boxes, target["boxes"])
        assert [one["category_id"] for one in found] == target["labels"].tolist()
        masks = [read.coco.annToMask(one) for one in found]
        np.testing.assert_array_equal(
            np.array(masks, np.uint8).reshape(target["masks"].shape), target["masks"]
        )
        assert [one["area"] for one in found] == [int(mask.sum()) for mask in masks]
        assert not any(one["iscrowd"] for one in found)
        seen.update(one["id"] for one in found)
    assert seen == set(range(1, len(read.coco.anns) + 1))
    assert read.coco.getCatIds() == [1, 2, 3, 4, 5, 6, 7]
    assert read.coco.loadCats(7)[0]["name"] == "00006"


def test_torchvisions_transforms_get_masks_and_boxes(tmp_path):
    pytest.importorskip("pycocotools")
    datasets = pytest.importorskip("torchvision.datasets")
    write(tmp_path)
    fdsl.export.finalize(tmp_path)
    read = datasets.CocoDetection(tmp_path / "images", tmp_path / "annotations.json")
    found = datasets.wrap_dataset_for_transforms_v2(read, target_keys=("boxes", "masks"))[3][1]
    assert found["boxes"].shape == (1, 4) and int(found["masks"].sum()) == 24


def test_any_number_of_processes_write_the_same_files(tmp_path):
    one, three = tmp_path / "one", tmp_path / "three"
    write(one, shard_size=9)
    for job in (2, 0, 1):
        write(three, shard_size=9, job_index=job, num_jobs=3, num_threads=1)
    with pytest.raises(ValueError, match="seed is 3 there and 4 here"):
        write(three, shard_size=9, seed=4)
    for folder in (one, three):
        fdsl.export.finalize(folder)
    assert contents(one) == contents(three)
    shutil.rmtree(three / "images/000003")
    assert write(three, shard_size=9).images == 8
    (three / "annotations.json").write_text("{}")
    fdsl.export.finalize(three)
    assert contents(one) == contents(three)


def test_a_folder_is_whole_or_not_there(tmp_path):
    Fragile.fails = True
    with pytest.raises(OSError, match="the lamp went out"):
        write(tmp_path, family=Fragile(7))
    assert list((tmp_path / "images").iterdir()) == []
    with pytest.raises(FileNotFoundError, match="2 of 2 folders"):
        fdsl.export.finalize(tmp_path)
    assert not (tmp_path / "annotations.json").exists()
    Fragile.fails = False
    part = tmp_path / "images/.000001.elsewhere-1-1.part"  # of a killed process
    part.mkdir()
    assert write(tmp_path, family=Fragile(7)).images == 35
    fdsl.export.finalize(tmp_path)
    assert not part.exists() and (tmp_path / "annotations.json").exists()


def edited(change):
    """Makes a function that edits the annotations of a folder."""

    def edit(folder):
        file = folder / "annotations.json"
        found = json.loads(file.read_text())
        change(found)
        file.write_text(json.dumps(found))

    return edit


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (edited(lambda a: a["annotations"][0].update(area=1)), "not match its address"),
        (edited(lambda a: a["annotations"].pop()), "not match its address"),
        (edited(lambda a: a["images"].pop()), "is not what fdsl writes for these images"),
        (edited(lambda a: a["annotations"][0].update(id=9)), "not what fdsl writes for these"),
        (edited(lambda a: a["annotations"].append(7)), "has no annotations: AttributeError"),
        (edited(lambda a: a.pop("annotations")), "has no annotations: KeyError"),
        (lambda f: (f / "annotations.json").write_text("{"), "has no annotations: JSONDecodeError"),
        (lambda f: (f / "annotations.json").unlink(), "No such file"),
        (lambda f: (f / "000000003.png").unlink(), "expected 000000003.png, found 000000004.png"),
        (lambda f: (f / "a.png").write_bytes(b""), "expected the end, found a.png"),
        (lambda f: (f / "000000003.png").write_bytes(b"\x89PNG"), "000000003.png is not an intact"),
    ],
)
def test_finalize_finds_what_is_wrong_and_says_how_to_go_on(tmp_path, damage, said):
    write(tmp_path)
    damage(tmp_path / "images/000000")
    with pytest.raises(ValueError, match=f"{said}.*Remove it and export again"):
        fdsl.export.finalize(tmp_path)
    assert not (tmp_path / "annotations.json").exists()
    shutil.rmtree(tmp_path / "images/000000")
    write(tmp_path)
    fdsl.export.finalize(tmp_path)


def test_a_folder_of_another_program_among_the_images_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "images/cats").mkdir()
    with pytest.raises(ValueError, match="cats does not belong to the export"):
        fdsl.export.finalize(tmp_path)


def test_images_without_a_plan_are_refused(tmp_path):
    (tmp_path / "images/000001").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"holds a 000001 but no plan\.json"):
        write(tmp_path)


def test_annotations_need_no_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    write(tmp_path)
    assert fdsl.export.finalize(tmp_path)["target"] == "boxes"


def test_a_family_without_boxes_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Disks has no target 'boxes'; it has 'label'"):
        write(tmp_path / "new", family=Disks(3))
    assert not (tmp_path / "new").exists()


def test_the_command_writes_the_same_and_refuses_other_targets(tmp_path, capsys):
    SCENES.save(tmp_path / "scenes.npz")
    words = ["export", str(tmp_path / "scenes.npz"), str(tmp_path / "command"), "--layout", "coco"]
    words += ["--instances", "5", "--seed", "3", "--shard-size", "20", "--size", "24"]
    assert main([*words, "--target", "mask"]) == 2
    assert "--layout coco holds boxes, got --target mask" in capsys.readouterr().err
    assert main(words) == 0
    assert main(["finalize", str(tmp_path / "command")]) == 0
    assert "35 images in 2 folders" in capsys.readouterr().out
    write(tmp_path / "python", rendering=fdsl.Frame(size=24))
    fdsl.export.finalize(tmp_path / "python")
    assert contents(tmp_path / "command") == contents(tmp_path / "python")
