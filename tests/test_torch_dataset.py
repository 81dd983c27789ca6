"""Data sets with a length, for torch: items, labels and samplers."""

import pickle
from itertools import islice
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")  # an optional package, which all of this file needs

import fdsl
from fdsl.torch import Dataset
from streams import BATCH, TINY, contents, needs_fork, singles
from torch.utils.data import DataLoader

pytestmark = pytest.mark.usefixtures("no_launcher")


def test_the_labels_of_a_data_set_are_read_only(ifs: fdsl.IFS) -> None:
    data = Dataset(ifs, 3, rendering=TINY)
    for name in ("targets", "samples"):
        assert getattr(data, name) is getattr(data, name)
        with pytest.raises(AttributeError):
            setattr(data, name, [])


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"instances": 0}, ValueError, "instances .* 0"),
        ({"num_threads": 0}, ValueError, "threads .* 0"),
        ({"transform": 3}, TypeError, "transform must be callable, got 3"),
        ({"target_transform": 3}, TypeError, "target_transform must be callable, got 3"),
        ({"transforms": 3}, TypeError, "transforms must be callable, got 3"),
        ({"transforms": abs, "transform": abs}, ValueError, "give transforms, or transform and "),
        ({"as_pil": "CMYK"}, ValueError, "as_pil must be True, False, 'RGB' or 'L', got 'CMYK'"),
        ({"as_pil": 1}, ValueError, "as_pil must be .* got 1"),
    ],
    ids=str,
)
def test_a_data_set_refuses_bad_arguments(
    ifs: fdsl.IFS, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Dataset(**{"family": ifs, **arguments})


@pytest.fixture
def data(ifs: fdsl.IFS) -> Dataset:
    return Dataset(ifs, 3, rendering=TINY, seed=8)


def test_items_are_what_render_returns(ifs: fdsl.IFS, data: Dataset) -> None:
    assert len(data) == 15
    expected = fdsl.render(ifs, np.repeat(np.arange(5), 3), np.tile(np.arange(3), 5), 8, TINY)
    for item in range(15):
        image, label = data[item]
        assert (image.dtype, image.shape) == (torch.uint8, (1, 32, 32))
        assert type(label) is int
        assert label == item // 3
        np.testing.assert_array_equal(image[0].numpy(), expected[item])


def test_items_rendered_together_equal_those_rendered_alone(data: Dataset) -> None:
    items = [14, 0, -1, 7, 7, 3]
    assert contents(data.__getitems__(items)) == contents(data[item] for item in items)
    assert data.__getitems__([]) == []


def test_a_data_set_has_the_attributes_of_an_image_folder(data: Dataset) -> None:
    assert data.classes == ["00000", "00001", "00002", "00003", "00004"]
    assert data.class_to_idx == {name: i for i, name in enumerate(data.classes)}
    assert data.targets == [data[item][1] for item in range(15)]
    assert data.targets is data.targets  # and not computed for each access
    addresses, labels = zip(*data.samples, strict=True)
    assert list(labels) == data.targets
    assert addresses == tuple((8, item // 3, item % 3) for item in range(15))


def test_transforms_see_each_image_and_label(ifs: fdsl.IFS, data: Dataset) -> None:
    changed = Dataset(
        ifs, 3, rendering=TINY, seed=8, transform=lambda image: image.sum().item(),
        target_transform=lambda label: f"category {label}",
    )  # fmt: skip
    expected = [(image.sum().item(), f"category {label}") for image, label in islice(data, 15)]
    assert changed.__getitems__(list(range(15))) == expected
    assert changed[4] == expected[4]


@needs_fork
def test_a_shuffled_loader_gives_each_item_once(data: Dataset) -> None:
    loader = DataLoader(data, BATCH, shuffle=True, num_workers=2, multiprocessing_context="fork")
    found = singles(contents(loader))
    expected = contents(data[item] for item in range(15))
    assert sorted(found) == sorted(expected)


def test_a_pickled_data_set_is_the_same(data: Dataset) -> None:
    other = pickle.loads(pickle.dumps(data))
    assert contents(other[item] for item in range(15)) == contents(data[item] for item in range(15))
    assert (repr(other), other.classes) == (repr(data), data.classes)


def test_the_old_name_of_the_class_answers_with_the_new_one() -> None:
    with pytest.raises(TypeError, match=r"Instances was renamed to fdsl\.torch\.Dataset"):
        # The import is what users of the old name have, and it fails: nothing is left to use.
        from fdsl.torch import Instances  # noqa: F401
    with pytest.raises(AttributeError, match="no attribute 'Instance'"):
        # Looking the name up is all that is tested, so its value is not used.
        fdsl.torch.Instance  # noqa: B018
