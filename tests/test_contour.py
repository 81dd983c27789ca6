"""Radial contours: the categories and their checks."""

import fdsl
import numpy as np
import pytest


def test_the_categories_are_distributed_as_in_the_released_program() -> None:
    rings = fdsl.RCDB(2000, seed=3)
    vertices = np.array([category.vertices for category in rings])
    # For 1,000 categories of the released code, the median is 58 and the mean 70.
    assert vertices.min() >= 3 and vertices.max() <= 200
    assert abs(np.median(vertices) - 58) < 5 and abs(vertices.mean() - 70) < 4
    assert {1, 200} <= {category.rings for category in rings}
    noise = np.array([(category.noise, category.step) for category in rings])
    assert np.allclose(noise.mean(axis=0), [2, 0.05], rtol=0.05)
    assert noise.min() >= 0 and (noise.max(axis=0) <= [4, 0.1]).all()


def test_more_categories_do_not_change_the_first_ones() -> None:
    assert fdsl.RCDB(20)[:5] == fdsl.RCDB(5)
    assert fdsl.RCDB(5, seed=1) != fdsl.RCDB(5)


def test_the_parameters_of_a_category_are_its_row() -> None:
    rings = fdsl.RCDB(6)
    assert rings.parameters(2) == rings[2]._asdict()


def test_images_are_as_full_as_those_of_the_released_program() -> None:
    """Percentiles 5, 50 and 95 of the original 1,000 categories are 0.9, 19.6 and 43.2%."""
    images = fdsl.render(fdsl.RCDB(300), range(300), 0, rendering=fdsl.Frame(size=512))
    drawn = 100 * (images != 255).reshape(300, -1).mean(axis=1)
    assert (abs(np.percentile(drawn, [5, 50, 95]) - [0.9, 19.6, 43.2]) < [1.2, 5, 6]).all()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([2, 1, 1, 0], "vertices must be a whole number between 3 and 1000, got 2"),
        ([3.5, 1, 1, 0], "vertices must be a whole number between 3 and 1000, got 3.5"),
        ([3, 201, 1, 0], "rings must be a whole number between 1 and 200, got 201"),
        ([3, 1, -1, 0], "noise must be between 0 and 16, got -1"),
        ([3, 1, 1, 17], "step must be between 0 and 16, got 17"),
        ([3, 1, float("nan"), 0], "noise must be between 0 and 16, got NaN"),
    ],
)
def test_an_invalid_category_is_rejected(row: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fdsl.RCDB([row])


def test_invalid_categories_are_rejected() -> None:
    with pytest.raises(ValueError, match="between 1 and 1,000,000, got 0"):
        fdsl.RCDB(0)
    with pytest.raises(ValueError, match=r"shape \(C, 4\), got \(1, 3\)"):
        fdsl.RCDB([[3, 1, 1]])
    with pytest.raises(TypeError, match="rows of numbers"):
        fdsl.RCDB("many")
    with pytest.raises(ValueError, match="seed must be 0 or more, got -1"):
        fdsl.RCDB([[3, 1, 1, 0]], seed=-1)
