"""Multi-label, mask and box targets: the same from the stream, the data sets and files."""

import io
import json
import multiprocessing
import sys
import tarfile

import fdsl
import fdsl.export
import numpy as np
import pytest
from families_in_python import Disks, Scenes
from fdsl import targets
from fdsl.job import Job

SCENES = Scenes(7)
FRAME = fdsl.Frame(size=(40, 56), crop=(32, 30))
WHOLE = fdsl.Frame(size=(40, 56), flips=False)
NAMES = ("labels", "mask", "boxes")


def objects_of(category, index, frame, seed=3):
    """Returns an image, the object that each pixel shows, and the category of each object."""
    images = np.empty((1, *frame.output_size), np.uint8)
    address = np.array([category], np.uint64), np.array([index], np.uint64)
    found, categories = targets.render_objects(SCENES, Job(frame, seed), address, images)
    return images[0], found[0], categories[0]


def expected(image, objects, categories, target):
    """Computes the target with slow loops."""
    numbers = [int(n) for n in np.unique(objects) if n]
    if target == "labels":
        here = {categories[n - 1] for n in numbers}
        return np.array([float(c in here) for c in range(7)], np.float32)
    if target == "mask":
        mask = np.zeros(objects.shape, np.int64)
        for n in numbers:
            mask[objects == n] = categories[n - 1] + 1
        return mask
    boxes = np.zeros((len(numbers), 4), np.float32)
    for row, n in enumerate(numbers):
        ys, xs = np.where(objects == n)
        boxes[row] = min(xs), min(ys), max(xs) + 1, max(ys) + 1
    labels = np.array([categories[n - 1] + 1 for n in numbers], np.int64)
    masks = np.array([objects == n for n in numbers], np.uint8).reshape(-1, *objects.shape)
    return {"boxes": boxes, "labels": labels, "masks": masks}


def same(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            same(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for parts in zip(one, other, strict=True):
            same(*parts)
    else:
        one, other = np.asarray(one), np.asarray(other)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


# Values


@pytest.mark.parametrize("target", NAMES)
def test_a_target_is_what_a_slow_loop_computes(target):
    hidden = alone = 0
    data = fdsl.Dataset(SCENES, 40, rendering=FRAME, target=target, seed=3)
    for item in range(0, 280, 3):
        found = objects_of(*divmod(item, 40), FRAME)
        image, given = data[item]
        np.testing.assert_array_equal(image, found[0])
        same(given, expected(*found, target))
        visible = set(np.unique(found[1])) - {0}
        hidden += len(visible) < len(found[2])
        alone += not visible
    assert hidden > 5  # else hidden objects are not tested


def test_an_image_without_objects_has_empty_targets():
    nothing = np.zeros((5, 4), np.uint16)
    found = targets.boxes(nothing, [1, 2])
    shapes = {name: (array.dtype, array.shape) for name, array in found.items()}
    assert shapes == {
        "boxes": (np.float32, (0, 4)),
        "labels": (np.int64, (0,)),
        "masks": (np.uint8, (0, 5, 4)),
    }
    assert not targets.labels(nothing, [1, 2], 3).any()
    assert not targets.mask(nothing, []).any()


def test_flips_and_crops_move_targets_with_the_image():
    for flip in range(4):
        image, objects, _ = objects_of(2, flip, fdsl.Frame(size=(40, 56)))
        down, across = (-1 if flip & 1 else 1), (-1 if flip & 2 else 1)
        whole = objects_of(2, 0, fdsl.Frame(size=(40, 56)))
        np.testing.assert_array_equal(image, whole[0][::down, ::across])
        np.testing.assert_array_equal(objects, whole[1][::down, ::across])
    assert len({objects_of(2, flip, WHOLE)[0].tobytes() for flip in range(4)}) == 4
    moved = 0
    for index in range(20):
        image, objects, categories = objects_of(4, index, FRAME)
        # The brightness of a rectangle is its category: the map must match the image.
        brightness = np.array([0, *(100 + one for one in categories)])
        np.testing.assert_array_equal(image, brightness[objects])
        moved += bool(objects.any())
    assert moved > 10


@pytest.mark.parametrize(
    ("family", "arguments", "said"),
    [
        (SCENES, {"target": "depth"}, "must be one of 'label', 'labels', 'mask', 'boxes', got 'de"),
        (Disks(3), {"target": "mask"}, "Disks has no target 'mask'; it has 'label'"),
        (fdsl.Perlin(4), {"target": "boxes"}, "Perlin has no target 'boxes'; it has 'label'"),
        (SCENES, {"target": "mask", "label_noise": 0.5}, "only for target='label', got 'mask'"),
    ],
)
def test_a_target_that_the_family_does_not_have_is_refused(family, arguments, said, tmp_path):
    fdsl_torch = pytest.importorskip("fdsl.torch")
    for kind in (fdsl.Dataset, fdsl_torch.Dataset, fdsl_torch.Stream):
        with pytest.raises(ValueError, match=said):
            kind(family, **arguments)
    with pytest.raises(TypeError, match="target must be str, got 3"):
        fdsl.Dataset(family, target=3)
    if "label_noise" not in arguments:
        with pytest.raises(ValueError, match=said):
            fdsl.export.shards(family, tmp_path / "new", **arguments)
        assert not (tmp_path / "new").exists()


# torch


def batches_of(stream, workers=0, method=None):
    torch = pytest.importorskip("torch")
    if method is not None and method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    loader = torch.utils.data.DataLoader(
        stream, batch_size=None, num_workers=workers, multiprocessing_context=method
    )
    return list(loader)


@pytest.mark.parametrize("target", NAMES)
def test_a_stream_has_the_targets_of_its_addresses(target):
    fdsl_torch = pytest.importorskip("fdsl.torch")
    stream = fdsl_torch.Stream(
        SCENES, rendering=FRAME, target=target, batch_size=5, steps_per_epoch=3, seed=3
    )
    batches = list(stream)  # not a DataLoader, which converts arrays to tensors
    assert len(batches) == 3
    order = SCENES.order(np.arange(15, dtype=np.uint64), None, 3)
    found = [objects_of(*address, FRAME) for address in zip(*order, strict=True)]
    for number, (images, given) in enumerate(batches):
        part = found[5 * number : 5 * number + 5]
        np.testing.assert_array_equal(images[:, 0], [image for image, _, _ in part])
        wanted = [expected(*one, target) for one in part]
        same(given, wanted if target == "boxes" else np.stack(wanted))
        parts = [part for one in given for part in one.values()] if target == "boxes" else [given]
        assert {type(part).__name__ for part in parts} == {"Tensor"}


#: Each target from forked workers, and those that are several arrays from spawned ones.
IN_WORKERS = [
    *((target, "fork") for target in NAMES),
    pytest.param("boxes", "spawn", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("target", "method"), IN_WORKERS)
def test_workers_and_the_loader_yield_the_same_targets(target, method):
    fdsl_torch = pytest.importorskip("fdsl.torch")

    def stream(size=3):
        settings = {"rendering": FRAME, "target": target, "seed": 3, "steps_per_epoch": 4}
        return fdsl_torch.Stream(SCENES, batch_size=size, **settings)

    here = batches_of(stream())
    same(batches_of(stream(), 2, method), here)
    with fdsl_torch.Loader(stream(), device="cpu", transform=lambda images: images) as loader:
        same(list(loader), here)
    with fdsl_torch.Loader(stream()) as loader:
        same(list(loader), here)
    singles = [pair for batch in here for pair in zip(*batch, strict=True)]
    same(list(stream(None))[:4], singles[:4])


@pytest.mark.gpu
@pytest.mark.parametrize("target", NAMES)
def test_the_loader_copies_targets_to_the_gpu(target):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    from fdsl.torch import Loader, Stream

    def stream():
        return Stream(SCENES, rendering=FRAME, target=target, batch_size=3, steps_per_epoch=4)

    def parts_of(given):
        return [part for one in given for part in one.values()] if target == "boxes" else [given]

    with Loader(stream(), device="cuda") as loader:
        batches = list(loader)
    for (images, given), (_, here) in zip(batches, stream(), strict=True):
        assert {part.device.type for part in (images, *parts_of(given))} == {"cuda"}
        same([part.cpu() for part in parts_of(given)], parts_of(here))


@pytest.mark.parametrize("target", NAMES)
def test_the_torch_data_set_has_the_same_targets(target):
    fdsl_torch = pytest.importorskip("fdsl.torch")
    settings = {"instances": 4, "rendering": FRAME, "target": target, "seed": 3}
    ours, theirs = fdsl_torch.Dataset(SCENES, **settings), fdsl.Dataset(SCENES, **settings)
    for item in (0, 13, -1):
        same(ours[item], (theirs[item][0][None], theirs[item][1]))
    torch = pytest.importorskip("torch")
    part = ours[0][1]["masks"] if target == "boxes" else ours[0][1]
    assert isinstance(part, torch.Tensor)
    changed = fdsl_torch.Dataset(SCENES, target_transform=lambda one: ("seen", one), **settings)
    same(changed[13][1][1], ours[13][1])
    assert ours.targets == [number // 4 for number in range(28)]


@pytest.mark.parametrize(("target", "method"), IN_WORKERS)
@pytest.mark.parametrize("cache", [False, True])
def test_a_data_set_in_worker_processes_has_the_same_targets(target, method, cache):
    torch = pytest.importorskip("torch")
    from fdsl.torch import Dataset

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    settings = {"rendering": FRAME, "target": target, "seed": 3}
    data = Dataset(SCENES, 2, cache=cache, **settings)
    loader = torch.utils.data.DataLoader(
        data, 5, num_workers=2, multiprocessing_context=method, collate_fn=list
    )
    found = [sample for batch in loader for sample in batch]
    same(found, list(Dataset(SCENES, 2, **settings)))
    if target != "boxes":
        _, given = next(iter(torch.utils.data.DataLoader(data, 14)))
        same(given, np.stack([sample[1] for sample in found]))


@pytest.mark.slow
def test_a_torchvision_detection_model_trains_on_boxes():
    detection = pytest.importorskip("torchvision.models.detection")
    import torch
    from fdsl.torch import Stream

    torch.manual_seed(0)
    backbone = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, trainable_layers=5
    )
    model = detection.MaskRCNN(backbone, num_classes=8, min_size=64, max_size=64).train()
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    frame = fdsl.Frame(size=64, color=True)
    stream = Stream(SCENES, rendering=frame, target="boxes", batch_size=2, steps_per_epoch=2)
    for images, boxes in stream:
        losses = model([image / 255 for image in images], boxes)
        assert {"loss_classifier", "loss_box_reg", "loss_mask"} <= losses.keys()
        assert all(bool(loss.isfinite()) for loss in losses.values())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    # The masks are learned down to the first layer of their head, and the boxes.
    moved = {name for name, value in model.named_parameters() if not value.equal(before[name])}
    assert {"roi_heads.mask_head.0.0.weight", "roi_heads.box_predictor.bbox_pred.bias"} <= moved
    assert "backbone.body.conv1.weight" in moved


# Files


def write(folder, target, **changes):
    settings = {"instances": 5, "rendering": FRAME, "seed": 3, "shard_size": 20}
    return fdsl.export.shards(
        **{"family": SCENES, **settings, **changes}, folder=folder, target=target
    )


@pytest.mark.parametrize("target", NAMES)
def test_files_hold_the_targets_of_the_stream(target, tmp_path):
    wds = pytest.importorskip("webdataset")
    Image = pytest.importorskip("PIL.Image")
    fdsl_torch = pytest.importorskip("fdsl.torch")
    write(tmp_path, target)
    metadata = fdsl.export.finalize(tmp_path)
    assert metadata["target"] == target and metadata["images"] == 35
    urls = [str(file) for file in sorted(tmp_path.glob("*.tar"))]
    stream = fdsl_torch.Stream(
        SCENES, rendering=FRAME, target=target, batch_size=35, seed=3, instances=5
    )
    images, wanted = next(iter(stream))
    count = 0
    for sample in wds.WebDataset(urls, shardshuffle=False):
        image = np.array(Image.open(io.BytesIO(sample["png"])).convert("L"))
        np.testing.assert_array_equal(image, images[count, 0])
        if target == "labels":
            found = np.zeros(7, np.float32)
            found[json.loads(sample["labels.json"])] = 1
        elif target == "mask":
            found = np.array(Image.open(io.BytesIO(sample["mask.png"]))).astype(np.int64)
        else:
            found = json.loads(sample["boxes.json"])
            objects = np.array(Image.open(io.BytesIO(sample["objects.png"])))
            each = range(1, len(found["labels"]) + 1)
            masks = np.array([objects == number for number in each], np.uint8)
            found = {
                "boxes": np.array(found["boxes"], np.float32).reshape(-1, 4),
                "labels": np.array(found["labels"], np.int64),
                "masks": masks.reshape(-1, *objects.shape),
            }
        same(found, wanted[count])
        count += 1
    assert count == 35


@pytest.mark.parametrize("most", [7, 255, 256, 65_535])
def test_a_map_reads_back_exactly(most):
    Image = pytest.importorskip("PIL.Image")
    from fdsl.export import target

    numbers = np.array([[0, 1, 2], [most - 1, most, 5]])
    file = target.encode_map(numbers, most)
    image = Image.open(io.BytesIO(file))
    modes = ["P"] if most <= 255 else ["I;16", "I"]  # "I" with an older Pillow
    assert image.mode in modes
    np.testing.assert_array_equal(np.array(image), numbers)
    np.testing.assert_array_equal(target.decode_map(file), numbers)
    for damaged in (file[:40], b"", file.replace(b"IDAT", b"IDOT"), file.replace(b"IHDR", b"IHDr")):
        assert target.decode_map(damaged) is None


def files_in(shard):
    with tarfile.open(shard) as tar:
        return tar.getnames()


def replace(shard, extension, content):
    """Rewrites a shard with other content in its first file with this extension."""
    with tarfile.open(shard) as tar:
        files = [(member, tar.extractfile(member).read()) for member in tar]
    done = False
    with tarfile.open(shard, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member, old in files:
            if member.name.endswith(extension) and not done:
                old, done = content(old), True
            member.size = len(old)
            tar.addfile(member, io.BytesIO(old))
    assert done


@pytest.mark.parametrize(
    ("target", "extension", "damage", "said"),
    [
        ("mask", "mask.png", lambda old: old[:-1], "mask.png is not an intact PNG"),
        ("mask", "mask.png", None, "mask.png does not match its address"),
        ("boxes", "objects.png", None, "objects.png does not match its address"),
        ("boxes", "boxes.json", lambda old: b"{", "boxes.json does not match its address"),
        ("labels", "labels.json", lambda old: b"[0, 1]", "labels.json does not match its address"),
    ],
)
def test_finalize_finds_a_wrong_target(target, extension, damage, said, tmp_path):
    pytest.importorskip("PIL")
    from fdsl.export.target import encode_map

    write(tmp_path, target)
    other = encode_map(np.full(FRAME.output_size, 6), 7)
    replace(tmp_path / "000000.tar", extension, damage or (lambda old: other))
    with pytest.raises(ValueError, match=said):
        fdsl.export.finalize(tmp_path)


def test_finalize_parses_the_targets_that_it_does_not_render_again(tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    monkeypatch.setattr("fdsl.export.check.RERENDERED", 2)  # only the first and the last
    write(tmp_path, "boxes")
    names = [name for name in files_in(tmp_path / "000000.tar") if name.endswith("boxes.json")]
    replace(tmp_path / "000000.tar", names[1], lambda old: old[:-1])
    with pytest.raises(ValueError, match=f"{names[1]} does not match its address"):
        fdsl.export.finalize(tmp_path)


def test_finalize_accepts_a_map_with_another_compression(tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    from PIL import Image

    write(tmp_path, "mask")
    save = Image.Image.save
    monkeypatch.setattr(Image.Image, "save", lambda *to: save(*to, compress_level=0))
    assert write(tmp_path / "other", "mask").images == 35
    one, other = (folder / "000000.tar" for folder in (tmp_path, tmp_path / "other"))
    assert one.read_bytes() != other.read_bytes()
    fdsl.export.finalize(tmp_path / "other")
    other.rename(one)
    other.parent.joinpath("plan.json").unlink()
    for left in other.parent.iterdir():
        left.unlink()
    other.parent.rmdir()
    fdsl.export.finalize(tmp_path)


def test_an_export_with_another_target_is_refused_and_an_old_plan_means_label(tmp_path):
    pytest.importorskip("PIL")
    write(tmp_path, "label")
    with pytest.raises(ValueError, match="target is 'label' there and 'mask' here"):
        write(tmp_path, "mask")
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan.pop("target") == "label"
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert write(tmp_path, "label").skipped == 35
    assert fdsl.export.finalize(tmp_path)["target"] == "label"
    with pytest.raises(ValueError, match="target is 'label' there"):
        write(tmp_path, "mask")


@pytest.mark.parametrize("target", ["mask", "boxes"])
def test_a_target_that_needs_pillow_says_so_before_anything_is_written(
    tmp_path, monkeypatch, target
):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match="with Pillow: pip install pillow"):
        write(tmp_path / "new", target)
    assert not (tmp_path / "new").exists()
    assert write(tmp_path / "labels", "labels").images == 35


def test_a_mask_file_has_a_limit_of_categories(tmp_path):
    pytest.importorskip("PIL")
    with pytest.raises(ValueError, match="at most 65,535 categories, got 65,536"):
        write(tmp_path / "new", "mask", family=Scenes(65_536), instances=1)
    assert not (tmp_path / "new").exists()
