"""Published data sets by name."""

import re
from pathlib import Path

import fdsl
import fdsl.cli
import fdsl.export
import numpy as np
import pytest
from fdsl.families.load import PUBLISHED

PAGE = Path(__file__).parents[1] / "docs/datasets.md"


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_data_set_renders_and_is_loaded_by_its_name(name):
    data = fdsl.published(name)
    assert fdsl.load(name) == data.family and data.name == name
    images = fdsl.render(data.family, 0, [0, 1], rendering=data.rendering)
    assert images.shape[0] == 2 and len(np.unique(images)) > 1
    assert not data.rendering.flips or name.startswith(("fractaldb", "multi-fractal"))


def test_the_page_lists_every_published_data_set():
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| ([\d,]+) × ([\d,]+) \|", text, re.M)
    expected = []
    for name in PUBLISHED:
        data = fdsl.published(name)
        expected.append((name, f"{len(data.family):,}", f"{data.instances:,}"))
    assert rows == expected


def test_a_published_data_set_may_be_named_by_its_number_of_categories():
    assert fdsl.published("fractaldb-1000").name == "fractaldb-1k"


def test_a_published_data_set_is_made_once():
    data = fdsl.published("deadleaves-squares")
    assert fdsl.published(name="deadleaves-squares") is data
    assert fdsl.published("fractaldb-1000") is fdsl.published("fractaldb-1k")
    assert fdsl.load("deadleaves-squares") is data.family


def test_an_unknown_data_set_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no published data set 'photos'; known: fractaldb-1k"):
        fdsl.published("photos")
    with pytest.raises(ValueError, match=r"no published data set 3; known: fractaldb-1k"):
        fdsl.published(3)
    with pytest.raises(ValueError, match=r"set 'RCDB-1k'; known: .*; did you mean rcdb-1k\?$"):
        fdsl.published("RCDB-1k")


def test_the_command_exports_a_published_data_set_as_it_is(tmp_path, capsys):
    folder = tmp_path / "shards"
    arguments = ["export", "2d-ofdb-1k", str(folder), "--preset", "published"]
    assert fdsl.cli.main([*arguments, "--size", "32", "--num-points", "500"]) == 0
    assert fdsl.export.finalize(folder)["images"] == 1000
    assert fdsl.cli.main(["export", "perlin-4", str(tmp_path / "x"), "--preset", "published"]) == 2
    assert "there is no published data set 'perlin-4'" in capsys.readouterr().err
