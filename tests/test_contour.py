"""Radial contours: the categories, and what a stranger could get wrong."""

import pickle

import fdsl
import numpy as np
import pytest


def test_the_categories_are_drawn_as_the_program_draws_them() -> None:
    rings = fdsl.RCDB(2000, seed=3)
    vertices = np.array([category.vertices for category in rings])
    # Of 1,000 that the program drew: median 58, mean 70.
    assert vertices.min() >= 3 and vertices.max() <= 200
    assert abs(np.median(vertices) - 58) < 5 and abs(vertices.mean() - 70) < 4
    assert {1, 200} <= {category.rings for category in rings}
    noise = np.array([(category.noise, category.step) for category in rings])
    assert np.allclose(noise.mean(axis=0), [2, 0.05], rtol=0.05)
    assert noise.min() >= 0 and (noise.max(axis=0) <= [4, 0.1]).all()


def test_more_categories_leave_the_first_ones_as_they_are() -> None:
    assert fdsl.RCDB(20)[:5] == fdsl.RCDB(5)
    assert fdsl.RCDB(5, seed=1) != fdsl.RCDB(5)


def test_contours_are_categories_like_any_other(tmp_path) -> None:
    rings = fdsl.load("rcdb-6")
    rings.save(tmp_path / "rcdb.npz")
    copies = [fdsl.load(tmp_path / "rcdb.npz"), pickle.loads(pickle.dumps(rings))]
    assert all(copy == rings and copy.key() == rings.key() for copy in copies)
    assert rings.parameters(2) == rings[2]._asdict()
    small = fdsl.Frame(size=64)
    images = fdsl.render(rings, range(6), [0, 1, 2, 3, 500, 999], rendering=small)
    assert images.shape == (6, 64, 64) and all((image != 255).any() for image in images)
    assert (images == fdsl.render(copies[0], range(6), [0, 1, 2, 3, 500, 999], 0, small, 1)).all()


def test_most_of_an_image_lies_as_far_from_the_ground_as_the_programs() -> None:
    """Of the program's 1,000 categories 5, 50 and 95 in 100 light 0.9, 19.6 and 43.2% or less."""
    images = fdsl.render(fdsl.RCDB(300), range(300), 0, rendering=fdsl.Frame(size=512))
    lit = 100 * (images != 255).reshape(300, -1).mean(axis=1)
    assert (abs(np.percentile(lit, [5, 50, 95]) - [0.9, 19.6, 43.2]) < [1.2, 5, 6]).all()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([2, 1, 1, 0], "vertices must be a whole number between 3 and 1000, got 2"),
        ([3.5, 1, 1, 0], "vertices must be a whole number between 3 and 1000, got 3.5"),
        ([3, 201, 1, 0], "rings must be a whole number between 1 and 200, got 201"),
        ([3, 1, -1, 0], "noise must be between 0 and 16, got -1"),
        ([3, 1, 1, 17], "step must be between 0 and 16, got 17"),
        ([3, 1, float("nan"), 0], "noise must be between 0 and 16, got NaN"),
    ],
)
def test_a_category_that_cannot_be_is_refused(row: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fdsl.RCDB([row])


def test_what_are_no_categories_is_refused() -> None:
    with pytest.raises(ValueError, match="between 1 and 1,000,000, got 0"):
        fdsl.RCDB(0)
    with pytest.raises(ValueError, match=r"shape \(C, 4\), got \(1, 3\)"):
        fdsl.RCDB([[3, 1, 1]])
    with pytest.raises(TypeError, match="rows of numbers"):
        fdsl.RCDB("many")
