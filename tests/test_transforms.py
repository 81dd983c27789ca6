"""Transforms of streams, loaders and data sets, of images and of their targets."""

import itertools
import sys
from itertools import islice
from typing import Any

import pytest

torch = pytest.importorskip("torch")  # an optional package, which all of this file needs

import fdsl
from fdsl.torch import Dataset, Loader, Normalize, Stream
from fdsl.torch.tensors import pinned
from streams import BATCH, TINY, contents, loader_of, stream_of
from torch.utils.data import DataLoader

pytestmark = pytest.mark.usefixtures("no_launcher")


def halved(images: Any) -> Any:
    return images[..., ::2]


def halves(labels: Any) -> Any:
    return labels // 2


def test_a_stream_of_single_samples_transforms_each_image(ifs: fdsl.IFS) -> None:
    shapes: list[Any] = []

    def noted(image: Any) -> Any:
        shapes.append(tuple(image.shape))
        return image

    stream = stream_of(ifs, batch_size=None, transform=noted)
    assert contents(stream, 5) == contents(stream_of(ifs, batch_size=None), 5)
    assert shapes == [(1, 32, 32)] * 5


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_transforms_targets(ifs: fdsl.IFS, workers: int) -> None:
    stream = stream_of(ifs, steps_per_epoch=3, target_transform=halves, transform=halved)
    batches = list(loader_of(stream, workers))
    expected = [(halved(images), labels // 2) for images, labels in islice(stream_of(ifs), 3)]
    assert contents(batches) == contents(expected)
    singles = islice(stream_of(ifs, batch_size=None, target_transform=halves), 5)
    plain = islice(stream_of(ifs, batch_size=None), 5)
    assert [label for _, label in singles] == [label // 2 for _, label in plain]


def test_transforms_of_a_loader_take_the_targets_that_its_stream_transformed() -> None:
    pytest.importorskip("torchvision")  # which `transforms` needs
    scene = fdsl.Scene(5)
    stream = Stream(
        scene, rendering=WIDE, target="mask", batch_size=3, target_transform=torch.Tensor.sum
    )
    with Loader(stream, transforms=lambda images, total: (images, total)) as loader:
        images, total = next(iter(loader))
    assert type(total) is torch.Tensor and total.shape == ()
    assert type(images).__name__ == "Image" and len(images) == 3


def test_a_mask_that_the_target_transform_marks_is_cropped_with_its_image() -> None:
    # The transforms and the types of masks are torchvision's.
    v2, tv_tensors = map(
        pytest.importorskip, ("torchvision.transforms.v2", "torchvision.tv_tensors")
    )
    about: dict[str, Any] = {"rendering": WIDE, "target": "mask", "batch_size": 3}
    stream = Stream(
        fdsl.Scene(5), **about, target_transform=lambda mask: tv_tensors.Mask(mask.clamp(max=1))
    )
    with Loader(stream, transforms=v2.RandomCrop(16)) as loader:
        images, masks = next(iter(loader))
    assert images.shape[-2:] == masks.shape[-2:] == (16, 16)
    assert ((images.amax(1) > 0) <= (masks > 0)).all()  # what is lit belongs to an object


def test_the_transform_of_a_stream_records_no_gradients(ifs: fdsl.IFS) -> None:
    stream = stream_of(ifs, transform=lambda images: convolution(images.float()))
    convolution = torch.nn.Conv2d(1, 2, 3)
    images, _ = next(iter(stream))
    assert images.shape == (BATCH, 2, 30, 30) and not images.requires_grad


@pytest.mark.parametrize("argument", ["transform", "target_transform"])
def test_a_stop_iteration_of_a_transform_does_not_end_a_stream(
    ifs: fdsl.IFS, argument: str
) -> None:
    stream = stream_of(ifs, **{argument: lambda part: next(iter([]))})
    with pytest.raises(RuntimeError, match=f"{argument} raised StopIteration"):
        list(stream)


@pytest.mark.parametrize("argument", ["transform", "target_transform", "transforms"])
def test_a_stop_iteration_of_a_transform_does_not_end_a_data_set(
    ifs: fdsl.IFS, argument: str
) -> None:
    def stops(*values: Any) -> Any:
        return next(iter([]))

    arguments: dict[str, Any] = {argument: stops}
    data = Dataset(ifs, 2, rendering=TINY, **arguments)
    with pytest.raises(RuntimeError, match=f"{argument} raised StopIteration"):
        list(DataLoader(data, batch_size=2))


def test_mixup_and_cutmix_take_the_batches_of_a_stream(ifs: fdsl.IFS) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    for images, labels in islice(stream_of(ifs, transform=Normalize()), 3):
        for mix in (v2.MixUp(num_classes=5), v2.CutMix(num_classes=5)):
            mixed, targets = mix(images, labels)
            assert (mixed.shape, targets.shape) == (images.shape, (BATCH, 5))
            torch.testing.assert_close(targets.sum(1), torch.ones(BATCH))


@pytest.mark.parametrize("mode, channels", [(True, 3), ("RGB", 3), ("L", 1)])
@pytest.mark.parametrize("color", [False, True])
def test_a_data_set_gives_pil_images_to_transforms_of_torchvision(
    ifs: fdsl.IFS, mode: Any, channels: int, color: bool
) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    rendering = fdsl.Rendering(size=(32, 40), num_points=500, color=color)
    plain = Dataset(ifs, 2, rendering=rendering, seed=8)
    data = Dataset(
        ifs, 2, rendering=rendering, seed=8, as_pil=mode, transform=transforms.ToTensor()
    )
    for (found, label), (image, expected) in zip(data, plain, strict=False):
        assert (found.dtype, found.shape, label) == (torch.float32, (channels, 32, 40), expected)
        if channels == 3 or not color:
            assert torch.equal(found, image.expand(channels, -1, -1) / 255)
    assert Dataset(ifs, 2, rendering=rendering, as_pil=mode)[0][0].size == (40, 32)


TARGETS = ("label", "labels", "mask", "boxes")


WIDE = fdsl.Scenes(size=(32, 48), backdrop="black")


def flip() -> Any:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    return v2.Compose([v2.RandomHorizontalFlip(1.0), v2.ToImage()])


def assert_flipped(kind: str, plain: Any, flipped: Any) -> None:
    """Checks the target of a flipped image, or the targets of a batch of them."""
    if isinstance(plain, list):
        for one, other in zip(plain, flipped, strict=True):
            assert_flipped(kind, one, other)
    elif kind == "mask":
        assert torch.equal(plain.flip(-1), flipped)
    elif kind == "boxes":
        left, top, right, bottom = plain["boxes"].unbind(1)
        expected = torch.stack([48 - right, top, 48 - left, bottom], 1)
        torch.testing.assert_close(expected, torch.Tensor(flipped["boxes"]))
        assert torch.equal(plain["masks"].flip(-1), flipped["masks"])
        assert torch.equal(plain["labels"], flipped["labels"])
    else:
        assert torch.equal(torch.as_tensor(plain), torch.as_tensor(flipped))


@pytest.mark.parametrize("as_pil", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_transforms_move_masks_and_boxes_with_the_image(target: str, as_pil: bool) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    about: dict[str, Any] = {"rendering": WIDE, "target": target, "seed": 4, "as_pil": as_pil}
    plain = Dataset(fdsl.Scene(5), 2, **about)
    turned = Dataset(fdsl.Scene(5), 2, **about, transforms=flip())
    for (image, what), (flipped, same) in zip(plain, turned, strict=True):
        assert torch.equal(v2.functional.to_image(image).flip(-1), flipped)
        assert_flipped(target, what, same)


@pytest.mark.parametrize(
    "target, where",
    [
        *itertools.product(TARGETS, ("stream", "workers", "single samples", "loader")),
        pytest.param("boxes", "spawned worker", marks=pytest.mark.slow),
    ],
)
def test_a_stream_moves_masks_and_boxes_with_its_images(target: str, where: str) -> None:
    batch_size = None if where == "single samples" else 3
    about: dict[str, Any] = {"rendering": WIDE, "target": target, "batch_size": batch_size}
    plain = Stream(fdsl.Scene(5), seed=4, **about)
    if where == "loader":
        source: Any = Loader(Stream(fdsl.Scene(5), seed=4, **about), transforms=flip())
    else:
        source = Stream(fdsl.Scene(5), seed=4, **about, transforms=flip())
        if where.endswith(("workers", "worker")):
            method = "spawn" if where == "spawned worker" else "fork"
            source = loader_of(source, 1 if method == "spawn" else 2, method)
    found = list(islice(source, 3))
    for (images, targets), (flipped, same) in zip(islice(plain, 3), found, strict=True):
        assert torch.equal(images.flip(-1), flipped)
        assert_flipped(target, targets, same)
    if where == "loader":
        source.close()


def test_page_locked_masks_and_boxes_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    # As in older versions of torchvision, and without a GPU.
    plain = torch.Tensor.as_subclass
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda given: plain(given, torch.Tensor))
    mask = tv_tensors.Mask(torch.arange(6).view(1, 2, 3))
    boxes = tv_tensors.BoundingBoxes([[0, 1, 2, 3]], format="XYXY", canvas_size=(5, 6))
    for part in (mask, boxes, torch.arange(3)):
        assert type(pinned(part)) is type(part) and torch.equal(pinned(part), part)
    assert pinned(boxes).canvas_size == (5, 6)


def test_transforms_of_a_loader_take_what_those_of_its_stream_return() -> None:
    def flattened(images: Any, masks: Any) -> Any:
        return images, masks.flatten(1)

    def noted(images: Any, masks: Any) -> Any:
        seen.append((type(images), type(masks), masks.shape))
        return images, masks

    seen: list[Any] = []
    stream = Stream(
        fdsl.Scene(5), rendering=WIDE, target="mask", batch_size=3, transforms=flattened
    )
    with Loader(stream, transforms=noted) as loader:
        next(iter(loader))
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    assert seen[0] == (tv_tensors.Image, torch.Tensor, (3, 32 * 48))


@pytest.mark.parametrize("source", [Dataset, Stream, Loader])
def test_transforms_that_lose_the_targets_are_refused(ifs: fdsl.IFS, source: Any) -> None:
    def images_only(images: Any, _: Any) -> Any:
        return images

    with pytest.raises(TypeError, match="transforms must return images and targets, got "):
        if source is Loader:
            next(iter(Loader(stream_of(ifs), transforms=images_only)))
        else:
            next(iter(source(ifs, rendering=TINY, transforms=images_only)))


@pytest.mark.parametrize("source", [Dataset, Stream, Loader])
def test_transforms_need_torchvision(
    ifs: fdsl.IFS, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ModuleNotFoundError, match="transforms needs torchvision: pip install"):
        source(stream_of(ifs) if source is Loader else ifs, transforms=lambda *both: both)


def test_a_transform_for_pil_images_is_answered_by_what_to_write(ifs: fdsl.IFS) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    for transform in (transforms.ToTensor(), transforms.PILToTensor()):
        with pytest.raises(TypeError, match=r"create it with as_pil=True, or .* v2\.ToDtype"):
            Dataset(ifs, 2, rendering=TINY, transform=transform)[0]
    with pytest.raises(TypeError, match="my own"):  # another mistake stays what it is
        Dataset(ifs, 2, rendering=TINY, transform=_raise_my_own)[0]


def _raise_my_own(_: Any) -> None:
    raise TypeError("my own")
