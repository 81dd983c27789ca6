"""What a notebook shows for families, categories, streams and images."""

import base64
import io
import json
import sys
import time
from pathlib import Path

import fdsl
import numpy as np
import pytest
from every_family import FAMILIES
from families_in_python import Disks

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Code cells, and whether each shows an image.
CELLS = {
    "import fdsl\nifs = fdsl.fractaldb(100)\nifs": True,
    "ifs[30]": True,
    "ifs[3:7]": True,
    "fdsl.Perlin(100)[23]": True,
    "fdsl.show(ifs, 30, range(6), size=128, num_points=40_000, color=True)": True,
    "len(ifs)": False,
}
STREAM = "from fdsl.torch import Stream\nStream(ifs, rendering=fdsl.Rendering.paper())"


def pixels(file: bytes, mode: str = "L") -> np.ndarray:
    """The pixels of a PNG file, gray if the mode is not RGB; the file may have a palette."""
    Image = pytest.importorskip("PIL.Image")
    return np.array(Image.open(io.BytesIO(file)).convert(mode))


def families():
    every = [make() for make in FAMILIES.values()]
    return [*every, fdsl.fractaldb(10)[3:7], Disks(4), Disks(4)[1:2]]


def categories():
    return [family[len(family) // 2] for family in families()[: len(FAMILIES)]]


@pytest.mark.parametrize("shown", [*families(), *categories()], ids=repr)
def test_a_family_and_a_category_show_a_small_image(shown):
    file = shown._repr_png_()
    assert file.startswith(SIGNATURE) and len(file) < 1_000_000
    height, width = pixels(file).shape[:2]
    assert height <= 400 and width <= 800
    assert pixels(file).any()
    assert shown._repr_png_() == file


@pytest.mark.parametrize("shown", families(), ids=repr)
def test_the_repr_of_a_family_fits_a_line(shown):
    assert "\n" not in repr(shown) and len(repr(shown)) < 100


@pytest.mark.parametrize("shown", categories(), ids=repr)
def test_the_repr_of_a_category_is_one_line(shown):
    assert "\n" not in repr(shown)


def test_the_repr_of_a_category_counts_its_maps():
    half = [0.5, 0, 0, 0.5]
    three = fdsl.IFS([[[*half, 0, 0], [*half, 0.5, 0], [*half, 0.25, 0.5]]])
    assert repr(three) == "<IFS: 1 category of 3 maps>"
    assert repr(three[0]) == "<Category: 3 maps, chosen 0.33, 0.33, 0.33>"
    one = fdsl.IFS([[[*half, 0, 0]]])
    assert repr(one[0]) == "<Category: 1 map, chosen 1.00>"
    many = fdsl.IFS([np.tile([*half, 0, 0], (256, 1))])
    assert repr(many[0]).startswith("<Category: 256 maps, chosen 0.00, ")
    assert repr(many[0]).endswith("…>") and len(repr(many[0])) < 100


def test_the_images_of_a_family_are_those_of_its_addresses():
    family = fdsl.Perlin(100)
    sheet = pixels(family._repr_png_())
    frame = fdsl.Frame(size=96)
    for row, category in enumerate((0, 33, 66, 99)):
        for column in range(8):
            image = fdsl.render(family, category, 127 * column, 0, frame)
            np.testing.assert_array_equal(sheet[98 * row :, 98 * column :][:96, :96], image)


class Slow(Disks):
    """As a formula in Python may be: its row takes longer than all rows may."""

    name = "slow"

    def draw(self, category, rng, frame):
        time.sleep(0.03)
        return super().draw(category, rng, frame)


def test_a_slow_family_shows_fewer_rows():
    assert pixels(Slow(10)._repr_png_()).shape[0] == 98


class Broken(Disks):
    """A family whose formula fails."""

    name = "broken"

    def draw(self, category, rng, frame):
        raise RuntimeError("not yet")


def test_a_family_that_cannot_be_rendered_shows_its_repr_alone():
    assert Broken(3)._repr_png_() is None
    assert repr(Broken(3)) == "<Broken: 3 categories>"


@pytest.mark.parametrize(
    "frame",
    [
        fdsl.Rendering(),
        fdsl.Rendering.paper(),
        fdsl.Rendering(size=4096, num_points=1 << 24, margin=2000),
        fdsl.Rendering(size=(40, 4000), crop=(30, 3000), color=True),
        fdsl.Rendering(size=(4000, 40), crop=1, num_points=1),
        fdsl.Rendering.released(),
        fdsl.Rendering(size=64),
        fdsl.Strokes(size=512, margin=255),
        fdsl.Frame(size=4096, crop=4096),
    ],
)
def test_a_thumbnail_is_small_and_otherwise_the_same(frame):
    small = frame.thumbnail(96)
    assert type(small) is type(frame)
    assert max(small.output_size) <= 96
    kept = set(frame.names()) - {"size", "crop", "num_points", "margin"}
    assert all(getattr(small, name) == getattr(frame, name) for name in kept)
    assert frame.thumbnail(5000) == frame


def test_the_points_of_a_thumbnail_are_as_dense():
    assert fdsl.Rendering(size=256).thumbnail(128).num_points == 50_000


# Streams


def test_a_stream_shows_its_first_samples():
    pytest.importorskip("torch")
    from fdsl.torch import Stream

    stream = Stream(fdsl.Perlin(4), rendering=fdsl.Frame(size=64), batch_size=32, seed=5)
    sheet = pixels(stream._repr_png_())
    images, _ = next(iter(stream))
    for number in range(32):
        row, column = divmod(number, 8)
        shown = sheet[66 * row :, 66 * column :][:64, :64]
        np.testing.assert_array_equal(shown, images[number, 0].numpy())
    huge = fdsl.Rendering(size=4096, num_points=1 << 24, color=True)
    assert len(Stream(fdsl.fractaldb(10), rendering=huge)._repr_png_()) < 1_000_000


# fdsl.show


def test_one_image_is_that_of_render():
    ifs = fdsl.fractaldb(10)
    rendering = fdsl.Rendering(size=48, num_points=2000)
    shown = fdsl.show(ifs, 3, 77, seed=5, rendering=rendering, patch="fixed", color=True)
    expected = fdsl.render(
        ifs, 3, 77, 5, fdsl.Rendering(size=48, num_points=2000, patch="fixed", color=True)
    )
    np.testing.assert_array_equal(shown.pixels, expected)
    np.testing.assert_array_equal(pixels(shown._repr_png_(), "RGB"), expected)
    assert repr(shown) == "<Image: 48×48, color>"


def test_an_image_is_saved_as_png(tmp_path):
    shown = fdsl.show(fdsl.Bezier(4), size=32)
    shown.save(tmp_path / "image.png")
    np.testing.assert_array_equal(pixels((tmp_path / "image.png").read_bytes()), shown.pixels)
    with pytest.raises(ValueError, match=r"must end in \.png, got '.*image\.jpg'"):
        shown.save(tmp_path / "image.jpg")


@pytest.mark.parametrize(
    "wrong, kind, said",
    [
        ({"category": 10}, IndexError, "category 10 is out of range: there are 10"),
        ({"category": -1}, IndexError, "category must be 0 or more, got -1"),
        ({"index": "a"}, TypeError, "index must be integers"),
        ({"patch": "round"}, ValueError, "patch must be 'random' or 'fixed' or 'solid', got"),
        ({"colour": True}, TypeError, "Rendering has no setting 'colour'; it has size, crop"),
        ({"family": "ifs"}, TypeError, "family must be Family, got 'ifs'"),
        ({"rendering": fdsl.Strokes()}, TypeError, "IFS takes a Rendering"),
    ],
)
def test_show_refuses_what_it_cannot_render(wrong, kind, said):
    with pytest.raises(kind, match=said):
        fdsl.show(**{"family": fdsl.fractaldb(10), **wrong})


# A notebook


def executed(cells):
    """A notebook of these cells, after a run."""
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    preprocessors = pytest.importorskip("nbconvert.preprocessors")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    run = preprocessors.ExecutePreprocessor(timeout=120, kernel_name="python3")
    run.preprocess(notebook, {"metadata": {"path": str(Path(__file__).parent)}})
    return notebook


@pytest.fixture
def this_python(tmp_path, monkeypatch):
    """A kernel of the Python that runs the tests, whatever kernels are installed."""
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(
        json.dumps({"argv": command, "display_name": "Python 3", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


@pytest.mark.slow
def test_a_notebook_shows_images(this_python):
    pytest.importorskip("torch")
    cells = {**CELLS, STREAM: True}
    for cell, shows in zip(executed(cells).cells, cells.values(), strict=True):
        (output,) = cell.outputs
        assert output.output_type == "execute_result", output
        assert "\n" not in output.data["text/plain"]
        assert ("image/png" in output.data) == shows
        if shows:
            assert base64.b64decode(output.data["image/png"]).startswith(SIGNATURE)


def test_a_category_in_space_shows_its_own_instances():
    family = fdsl.IFS3D(3)
    assert family[1]._repr_png_() == family[1:2]._repr_png_() is not None


def test_more_numbers_than_a_sheet_has_are_refused_at_once():
    for numbers in ({"category": range(10**12)}, {"index": range(10**30)}):
        name = next(iter(numbers))
        with pytest.raises(ValueError, match=f"{name} must be at most 1,048,576 numbers, got more"):
            fdsl.show(fdsl.Perlin(4), **numbers)
