"""timm trains on formulas: its own functions find the data sets, and its own script runs."""

import csv
import importlib
import os
import sys
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

import fdsl
import fdsl.timm
import numpy as np
from fdsl.torch import Dataset, Loader, Stream
from scripts import ran
from timm.data import create_dataset, create_loader, dataset_factory
from timm.data.loader import PrefetchLoader

SMALL = "size=32&num_points=500"
RENDERING = fdsl.Rendering(size=32, num_points=500)
SOURCE = f"fractaldb-10?{SMALL}"
BATCH = 4

pytestmark = pytest.mark.usefixtures("no_launcher")


def created(name: str, root: str, split: str = "train", **changes: Any) -> Any:
    """A data set, made with the arguments that train.py gives."""
    given = {"class_map": "", "download": False, "batch_size": BATCH, "seed": 42, "repeats": 0}
    given.update(input_img_mode="RGB", input_key=None, target_key=None, num_samples=None)
    training = split == "train"
    return create_dataset(
        name, root=root, split=split, is_training=training, **{**given, **changes}
    )


def loader_of(data: Any, workers: int = 0, **changes: Any) -> Any:
    """timm's loader, with transforms that change no pixel."""
    settings = {"is_training": True, "no_aug": True, "num_workers": workers, "batch_size": BATCH}
    unchanged = {"mean": (0, 0, 0), "std": (1 / 255,) * 3, "input_size": (3, 32, 32)}
    # timm before 1.0.29 keeps the workers even where there are none, which torch refuses.
    settings |= {"device": torch.device("cpu"), "persistent_workers": workers > 0}
    return create_loader(data, **{**unchanged, **settings, **changes})


def pixels(images: Any) -> list[bytes]:
    """The bytes of each image of a batch, which may have been converted to floats and RGB."""
    if images.shape[1] == 3:
        assert torch.equal(images[:, :1].expand_as(images), images)
    return [image[0].round().to(torch.uint8).numpy().tobytes() for image in images]


def flat(batches: Any) -> list[tuple[bytes, int]]:
    return [
        pair
        for images, labels in batches
        for pair in zip(pixels(images), labels.tolist(), strict=True)
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_timm_shuffles_the_first_instances_of_each_category(workers: int) -> None:
    data = created("torch/fdsl", f"{SOURCE}&instances=2")
    found = flat(loader_of(data, workers))
    ours = Dataset(fdsl.fractaldb(10), 2, rendering=RENDERING)
    expected = [(image.numpy().tobytes(), label) for image, label in ours]
    assert sorted(found) == sorted(expected)
    assert found != expected


def test_the_validation_split_has_the_instances_after_those() -> None:
    data = created("torch/fdsl", f"{SOURCE}&instances=3&val_instances=2", "validation")
    ours = Dataset(fdsl.fractaldb(10), 505, rendering=RENDERING)
    items = [505 * category + instance for category in range(10) for instance in (3, 504)]
    expected = [(ours[item][0].numpy().tobytes(), item // 505) for item in items]
    assert flat(loader_of(data, is_training=False, crop_pct=1.0)) == expected
    assert data[-1][1] == 9
    with pytest.raises(IndexError):
        data[20]


@pytest.mark.parametrize("name", ["torch/fdsl", "torch/fdsl-stream"])
def test_the_labels_to_validate_with_are_true(name: str) -> None:
    more = "&batch_size=4&instances=null" if "stream" in name else ""
    data = created(name, f"{SOURCE}&val_instances=2&label_noise=1{more}", "validation")
    assert [data[item][1] for item in range(20)] == [item // 2 for item in range(20)]
    if not more:
        noisy = created(name, f"{SOURCE}&instances=2&label_noise=1")
        assert noisy.images.label_noise == 1


def test_without_settings_there_are_a_thousand_instances_and_fifty_to_validate() -> None:
    train, validation = (created("torch/fdsl", "fractaldb-1k", split) for split in ("train", "val"))
    assert (len(train), len(validation)) == (1_000_000, 50_000)
    assert {index // 40 for index in train.instances} == set(range(25))  # all variations
    image, label = train[999_999]
    assert (image.mode, image.size, label) == ("RGB", (256, 256), 999)
    assert len(train.classes) == 1000


@pytest.mark.parametrize(
    "instances, count", [(1000, 50), (3, 50), (100, 30), (7, 400), (1000, 600)]
)
def test_images_to_validate_with_have_all_variations_and_flips(instances: int, count: int) -> None:
    settings = f"instances={instances}&val_instances={count}"
    indices = list(created("torch/fdsl", f"fractaldb-1k?{settings}", "validation").instances)
    assert len(indices) == count and min(indices) == instances
    assert {index // 40 % 25 for index in indices} == set(range(25))
    flips = [index % 4 for index in indices]
    assert max(flips.count(flip) for flip in range(4)) <= -(-count // 4)
    if count >= 50:
        assert {index // 4 % 10 for index in indices} == set(range(10))  # patches


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_stream_keeps_its_order_and_goes_on_in_the_next_epoch(workers: int) -> None:
    stream = Stream(fdsl.fractaldb(10), rendering=RENDERING, batch_size=BATCH)
    expected = flat(islice(stream, 14))
    loader = loader_of(
        created("torch/fdsl-stream", f"{SOURCE}&batch_size={BATCH}&samples=30"), workers
    )
    assert len(loader) == 7  # only whole batches
    assert flat(loader) + flat(loader) == expected
    loader.dataset.set_epoch(1)  # as train.py does, also after --resume
    assert flat(loader) == expected[28:]


def test_the_ranks_share_an_epoch_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = flat(islice(Stream(fdsl.fractaldb(10), rendering=RENDERING, batch_size=8), 4))
    monkeypatch.setenv("WORLD_SIZE", "2")
    ranks = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        data = created("torch/fdsl-stream", f"{SOURCE}&batch_size={BATCH}&samples=32")
        ranks.append([flat([batch]) for batch in loader_of(data, workers=1, distributed=True)])
    assert list(chain(*(a + b for a, b in zip(*ranks, strict=True)))) == whole


def test_a_stream_never_reaches_the_validation_split() -> None:
    root = f"{SOURCE}&batch_size=4&val_instances=1"
    ours = fdsl.render(fdsl.fractaldb(10), np.arange(10), 2**32, rendering=RENDERING)
    found = created("torch/fdsl-stream", root, "validation")
    assert [label for _, label in found] == list(range(10))
    assert [image.convert("L").tobytes() for image, _ in found] == [one.tobytes() for one in ours]
    some = created("torch/fdsl-stream", f"{root}&instances=7", "validation")
    ours = fdsl.render(fdsl.fractaldb(10), [3], 7, rendering=RENDERING)
    assert some[3][0].convert("L").tobytes() == ours.tobytes()


def test_settings_reach_the_rendering() -> None:
    root = "fractaldb-10?preset=paper&num_points=300&crop=[40,48]&color=true&seed=5&channels=1"
    data = created("torch/fdsl", root)
    rendering = fdsl.Rendering.paper(num_points=300, crop=(40, 48), color=True)
    ours = Dataset(fdsl.fractaldb(10), 1050, rendering=rendering, seed=5, as_pil="L")
    assert data[0][0].mode == "L" and data[0][0].size == (48, 40)
    assert data[0][0].tobytes() == ours[0][0].tobytes()


def test_a_published_data_set_is_rendered_as_its_authors_did() -> None:
    data, published = (
        created("torch/fdsl", "2d-ofdb-1k?preset=published"),
        fdsl.published("2d-ofdb-1k"),
    )
    assert len(data) == 1000 and data[0][0].size == (362, 362)
    ours = Dataset(published.family, 1, rendering=published.rendering, as_pil="RGB")
    assert data[7][0].tobytes() == ours[7][0].tobytes()


def test_a_published_stream_repeats_the_published_instances() -> None:
    root = "2d-ofdb-1k?batch_size=500&size=32&num_points=100&preset=published"
    data = created("torch/fdsl-stream", root)
    assert data.stream.instances == 1
    assert created("torch/fdsl-stream", f"{root}&instances=null").stream.instances is None
    assert created("torch/fdsl-stream", root, "validation").instances[0] == 1


@pytest.mark.parametrize(
    "more, options",
    [
        ("seed=5", {"seed": 5}),
        ("instances=3", {"instances": 3}),
        ("label_noise=0.5", {"label_noise": 0.5}),
    ],
)
def test_settings_reach_the_stream(more: str, options: dict[str, Any]) -> None:
    data = created("torch/fdsl-stream", f"{SOURCE}&channels=1&batch_size=4&samples=80&{more}")
    given = {"rendering": RENDERING, "batch_size": 4, "steps_per_epoch": 20}
    ours = flat(Stream(fdsl.fractaldb(10), **given, **options))
    found = list(data)
    assert {image.mode for image, _ in found} == {"L"}
    assert [(image.tobytes(), label) for image, label in found] == ours


def test_replayed_contours_have_no_endless_validation() -> None:
    """It would start at an instance that the replay reaches after many hours."""
    root = "rcdb-1k?preset=released&batch_size=4"
    with pytest.raises(ValueError, match=r"needs instances=N here: with compat='released'"):
        created("torch/fdsl-stream", root, "validation")


def test_a_path_may_hold_a_question_mark(tmp_path: Path) -> None:
    saved = tmp_path / "what?.npz"
    fdsl.Perlin(4).save(saved)
    assert len(created("torch/fdsl", str(saved)).classes) == 4
    assert len(created("torch/fdsl", f"{tmp_path / 'what?.npz'}?instances=2")) == 8


def test_whole_batches_pass_through_the_prefetch_loader() -> None:
    def stream(**changes: Any) -> Stream:
        given = {"rendering": RENDERING, "batch_size": BATCH, "steps_per_epoch": 3, **changes}
        return Stream(fdsl.fractaldb(10), **given)

    expected = flat(stream())
    device = torch.device("cpu")
    gray = PrefetchLoader(Loader(stream()), (0,), (1 / 255,), channels=1, device=device)
    assert flat(gray) == expected
    rgb = stream(transform=lambda images: images.expand(-1, 3, -1, -1))
    of_three = PrefetchLoader(Loader(rgb), (0,) * 3, (1 / 255,) * 3, device=device)
    batches = list(of_three)
    assert batches[0][0].shape == (BATCH, 3, 32, 32)
    assert flat(batches) == expected
    assert len(of_three) == 3 and not of_three.mixup_enabled
    of_three.sampler.set_epoch(0)
    assert flat(of_three) == expected


@pytest.mark.parametrize(
    "name, root, error, said",
    [
        ("torch/fdsl", None, ValueError, "torch/fdsl needs a source .*--data-dir fractaldb-1k"),
        (
            "torch/fdsl",
            "fractal",
            FileNotFoundError,
            "no categories at fractal: expected a",
        ),
        ("torch/fdsl", "fractaldb-10?x", ValueError, "must be name=value, .* got 'x'"),
        ("torch/fdsl", "fractaldb-10?sizes=4", ValueError, "no setting 'sizes'; it has .*size"),
        ("torch/fdsl", "fractaldb-10?samples=4", ValueError, "torch/fdsl has no setting 'samples'"),
        ("torch/fdsl", "fractaldb-10?size=big", TypeError, "size must be an integer, got 'big'"),
        ("torch/fdsl", "fractaldb-10?instances=0", ValueError, "instances must be at least 1"),
        ("torch/fdsl", "fractaldb-10?channels=2", ValueError, "channels must be 1 or 3, got 2"),
        ("torch/fdsl", "fractaldb-10?preset=hd", ValueError, "'hd' does not .* paper, released"),
        ("torch/fdsl", "perlin-4?preset=released", ValueError, "'released' does not .* paper, pub"),
        ("torch/fdsl", "perlin-4?preset=published", ValueError, "no published data set 'perlin-4'"),
        ("torch/fdsl-stream", "fractaldb-10", ValueError, r"fractaldb-10\?batch_size=N"),
        ("torch/fdsl-stream", "fractaldb-10?seed=1", ValueError, "seed=1&batch_size=N"),
        ("torch/fdsl-stream", "fractaldb-10?batch_size=8&samples=7", ValueError, "got 7"),
    ],
)
def test_what_cannot_be_is_refused(name: str, root: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        created(name, root)


def test_a_version_of_timm_without_the_registry_is_answered_by_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(dataset_factory, "_TORCH_BASIC_DS")
    with pytest.raises(ImportError, match=f"timm {timm.__version__}.*as_pil=True"):
        importlib.reload(fdsl.timm)


def test_without_timm_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModuleNotFoundError, match="pip install timm"):
        importlib.reload(fdsl.timm)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, more", [("torch/fdsl", "instances=3"), ("torch/fdsl-stream", "batch_size=8&samples=32")]
)
def test_the_script_of_timm_trains_as_it_is(name: str, more: str, tmp_path: Path) -> None:
    # The script is neither in the wheel nor in the source distribution of timm.
    beside = Path(timm.__file__).parents[1] / "train.py"
    script = Path(os.environ.get("TIMM_TRAIN_PY", beside))
    if not script.is_file():
        pytest.skip("timm's train.py is not installed; TIMM_TRAIN_PY may name it")
    root = f"fractaldb-10?{SMALL}&val_instances=1&{more}"
    command = [sys.executable, script, "--device-modules", "fdsl.timm", "--dataset", name]
    command += ["--data-dir", root, "--model", "resnet10t", "--input-size", "3", "32", "32"]
    command += ["--num-classes", "10", "--batch-size", "8", "--epochs", "2", "--workers", "1"]
    command += ["--warmup-epochs", "0", "--device", "cpu", "--output", tmp_path]
    run = ran(command, cwd=tmp_path)
    assert run.returncode == 0, run.stderr[-2000:]
    (summary,) = tmp_path.rglob("summary.csv")
    rows = list(csv.DictReader(summary.read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(float(row["train_loss"]) > 0 for row in rows)
