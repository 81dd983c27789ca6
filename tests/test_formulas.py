"""IFS families: the search meets its criteria, and files preserve every bit."""

import errno
import hashlib
import importlib
import itertools
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile

import fdsl
import numpy as np
import pytest
from fdsl import IFS, Category
from fdsl._files import write_once

SMALL = {"fill_rate": 0.05, "size": 64, "num_points": 2000}
MEASURE = {"size": 64, "num_points": 2000}
HALF = [0.5, 0, 0, 0.5]
SIERPINSKI = [[*HALF, 0, 0], [*HALF, 0.5, 0], [*HALF, 0.25, 0.5]]


@pytest.fixture(scope="module")
def ifs():
    return IFS.search(categories=5, seed=1, **SMALL)


@pytest.fixture(scope="module")
def many():
    return IFS.search(categories=300, seed=2, **SMALL)


def same_bits(a, b):
    return len(a) == len(b) and all(
        x.maps.tobytes() == y.maps.tobytes()
        and x.probabilities.tobytes() == y.probabilities.tobytes()
        for x, y in zip(a, b, strict=True)
    )


def refuse_to_flush(_descriptor):
    raise OSError(errno.ENOSPC, "No space left on device")


# Search


@pytest.mark.parametrize("threads", [1, 2, 8, None])
def test_a_search_does_not_depend_on_the_number_of_threads(threads):
    expected = IFS.search(categories=40, seed=5, num_threads=3, **SMALL | {"fill_rate": 0.12})
    found = IFS.search(categories=40, seed=5, num_threads=threads, **SMALL | {"fill_rate": 0.12})
    assert same_bits(found, expected)
    assert found.candidates_tried == expected.candidates_tried


def test_other_seeds_find_other_categories(ifs):
    other = IFS.search(categories=5, seed=2, **SMALL)
    found = {c.maps.tobytes() for c in ifs} | {c.maps.tobytes() for c in other}
    assert len(found) == 10


def test_a_longer_search_begins_with_the_shorter_one(ifs):
    assert IFS.search(categories=9, seed=1, **SMALL)[:5] == ifs


@pytest.mark.parametrize("fill_rate", [0.15, 0.2, 0.25])
def test_measured_filling_rates_are_close_to_those_of_the_search(many, fill_rate):
    """A few depend on some outlying points, and fill less in another chaos game."""
    found = IFS.search(categories=100, seed=3, **SMALL | {"fill_rate": fill_rate})
    for seed in (0, 1):
        rates = found.fill_rates(**MEASURE, seed=seed)
        assert rates.shape == (100,)
        assert (rates > 0.8 * fill_rate).mean() > 0.9
        assert rates.max() <= 2000 / 64**2
        # Categories of a lower rate would fail this.
        assert (many.fill_rates(**MEASURE, seed=seed) > 0.8 * fill_rate).mean() < 0.8


def test_measured_filling_rates_depend_only_on_seed_and_settings(ifs, many):
    for threads in (1, 5):
        rates = ifs.fill_rates(**MEASURE, seed=4, num_threads=threads)
        np.testing.assert_array_equal(rates, ifs.fill_rates(**MEASURE, seed=4))
    first = ifs.fill_rates(**MEASURE, seed=4)
    np.testing.assert_array_equal(first, ifs.fill_rates(**MEASURE, seed=4))
    assert (first != ifs.fill_rates(**MEASURE, seed=5)).any()
    few, more = (many.fill_rates(size=64, num_points=points).mean() for points in (2000, 8000))
    assert more > 1.1 * few


def test_all_numbers_of_maps_from_2_to_8_occur(many):
    assert {len(maps) for maps, _ in many} == set(range(2, 9))


@pytest.mark.parametrize("low, high", [(2, 2), (3, 5), (1, 1), (12, 20), (256, 256)])
def test_the_number_of_maps_stays_in_its_range(low, high):
    found = IFS.search(
        categories=60, fill_rate=1e-4, seed=1, min_maps=low, max_maps=high, **MEASURE
    )
    sizes = [len(maps) for maps, _ in found]
    assert (min(sizes), max(sizes)) == (low, high)


def test_parameters_span_the_range_from_minus_1_to_1(many):
    maps = np.concatenate([maps for maps, _ in many])
    assert (np.abs(maps) <= 1).all()
    assert (maps.min(axis=0) < -0.95).all()
    assert (maps.max(axis=0) > 0.95).all()


def test_probabilities_are_proportional_to_the_determinants(many):
    for maps, probabilities in many:
        a, b, c, d, _, _ = maps.T
        areas = np.abs(a * d - b * c)
        np.testing.assert_allclose(probabilities, areas / areas.sum(), rtol=1e-12)


def test_a_stricter_search_tries_more_candidates(ifs):
    assert ifs.candidates_tried >= 5
    strict = IFS.search(categories=5, seed=1, **SMALL | {"fill_rate": 0.25})
    assert strict.candidates_tried > ifs.candidates_tried


def test_progress_counts_the_categories_found_and_candidates_tried():
    calls = []
    found = IFS.search(
        categories=100,
        seed=1,
        num_threads=1,
        progress=lambda *at: calls.append(at),
        **SMALL | {"fill_rate": 0.2},
    )
    assert len(calls) > 3
    assert calls == sorted(calls)
    assert all(0 <= found_by_then <= tried for found_by_then, tried in calls)
    assert calls[-1] == (100, found.candidates_tried)


class Enough(Exception):
    pass


def test_an_exception_in_progress_ends_the_search():
    calls = []

    def stop(found, tried):
        calls.append((found, tried))
        if len(calls) == 3:
            raise Enough("three are enough")

    with pytest.raises(Enough, match="three are enough"):
        IFS.search(categories=10_000, seed=1, progress=stop, **MEASURE, fill_rate=0.2)
    assert len(calls) == 3


def test_an_exception_in_the_last_progress_call_is_not_lost():
    """A search of one block calls progress once, at its end; Ctrl-C can arrive then, too."""

    def stop(_found, _tried):
        raise Enough

    with pytest.raises(Enough):
        IFS.search(categories=5, seed=1, progress=stop, **SMALL)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_a_search_that_gives_up_reports_the_candidates_and_the_best_rate(threads):
    with pytest.raises(ValueError, match=r"gave up after 2000 candidates.*found 0 of 5") as error:
        IFS.search(
            categories=5, fill_rate=0.9, seed=1, max_tries=2000, num_threads=threads, **MEASURE
        )
    best = float(re.search(r"best filling rate was (0\.\d+)", str(error.value))[1])
    # It is the best rate: slightly below it there is a category, slightly above it there is none.
    one = IFS.search(categories=1, fill_rate=best - 1e-4, seed=1, max_tries=2000, **MEASURE)
    assert one.candidates_tried <= 2000
    with pytest.raises(ValueError, match="found 0 of 1"):
        IFS.search(categories=1, fill_rate=best + 1e-4, seed=1, max_tries=2000, **MEASURE)


@pytest.mark.parametrize(
    "wrong, kind, given",
    [
        ({"categories": 0}, ValueError, "0"),
        ({"categories": -1}, ValueError, "-1"),
        ({"categories": 1.5}, TypeError, "1.5"),
        ({"categories": 2**70}, ValueError, str(2**70)),
        ({"fill_rate": 0}, ValueError, "0"),
        ({"fill_rate": 1.5}, ValueError, "1.5"),
        ({"fill_rate": float("nan")}, ValueError, "NaN"),
        ({"fill_rate": "much"}, TypeError, "much"),
        ({"seed": -1}, ValueError, "-1"),
        ({"seed": 2**64}, ValueError, str(2**64)),
        ({"min_maps": 0}, ValueError, "0"),
        ({"min_maps": 9}, ValueError, "9"),
        ({"max_maps": 257}, ValueError, "257"),
        ({"size": 8}, ValueError, "8"),
        ({"num_points": 0}, ValueError, "0"),
        ({"margin": 32}, ValueError, "32"),
        ({"max_tries": 0}, ValueError, "0"),
        ({"num_threads": 0}, ValueError, "0"),
        ({"num_threads": 2.0}, TypeError, "2.0"),
    ],
)
def test_invalid_arguments_of_a_search_are_refused_with_their_values(wrong, kind, given):
    with pytest.raises(kind, match=re.escape(given)):
        IFS.search(**{"categories": 2, "seed": 1, **SMALL, **wrong})


@pytest.mark.parametrize(
    "wrong, given", [({"size": 8}, "8"), ({"num_points": 0}, "0"), ({"margin": 32}, "32")]
)
def test_invalid_arguments_of_fill_rates_are_refused(ifs, wrong, given):
    with pytest.raises(ValueError, match=given):
        ifs.fill_rates(**MEASURE | wrong)
    with pytest.raises(ValueError, match="-1"):
        ifs.fill_rates(**MEASURE, seed=-1)


# An immutable sequence


def test_a_family_is_a_sequence_of_categories(ifs):
    assert len(ifs) == 5
    listed = list(ifs)
    assert all(isinstance(category, Category) for category in listed)
    for number in range(5):
        for key in (number, number - 5, np.int64(number)):
            assert same_bits([ifs[key]], [listed[number]])
    maps, probabilities = ifs[0]
    assert maps.shape == (len(probabilities), 6)
    assert maps.dtype == probabilities.dtype == np.float64


@pytest.mark.parametrize("key", [True, "1", 1.0, None])
def test_a_category_is_an_integer(ifs, key):
    with pytest.raises(TypeError, match=f"category must be an integer, got {key!r}"):
        ifs[key]


@pytest.mark.parametrize("cut", [slice(1, 3), slice(None, None, -1), slice(-2, None), slice(0, 99)])
def test_a_slice_is_a_family_of_those_categories(ifs, cut):
    part = ifs[cut]
    assert isinstance(part, IFS)
    assert same_bits(part, list(ifs)[cut])


def test_families_are_equal_only_if_all_bits_and_borders_are(ifs):
    again = IFS([c.maps for c in ifs], [c.probabilities for c in ifs])
    assert again == ifs
    assert hash(again) == hash(ifs)
    assert ifs[:4] != ifs
    assert ifs[::-1] != ifs
    assert ifs != [*ifs]
    maps = [c.maps.copy() for c in ifs]
    maps[3][1, 2] = np.nextafter(maps[3][1, 2], 2)
    changed = IFS(maps, [c.probabilities for c in ifs])
    assert changed != ifs
    assert len({ifs, again, changed}) == 2
    # The same rows, with other borders.
    rows = [[*HALF, 0, 0], [*HALF, 0.5, 0], [*HALF, 0.25, 0.5]]
    assert IFS([rows[:2], rows[2:]], [[1, 0], [1]]) != IFS([rows[:1], rows[1:]], [[1], [0, 1]])


def test_equal_families_have_equal_hashes_even_with_negative_zero():
    plus, minus = (IFS([[[0.5, zero, zero, 0.5, 0, 0]]]) for zero in (0.0, -0.0))
    assert plus != minus or hash(plus) == hash(minus)


def test_the_repr_gives_categories_maps_and_candidates(ifs):
    sizes = [len(c.maps) for c in ifs]
    text = f"5 categories of {min(sizes)} to {max(sizes)} maps, {ifs.candidates_tried} candidates"
    assert text in repr(ifs)
    assert "tried" not in repr(IFS([SIERPINSKI]))


def test_the_key_depends_on_the_category_borders_and_the_digest_does_not():
    rows = [[*HALF, 0, 0], [*HALF, 0.5, 0], [*HALF, 0.25, 0.5]]
    one = IFS([rows[:2], rows[2:]], [[1, 0], [1]])
    other = IFS([rows[:1], rows[1:]], [[1], [0, 1]])
    assert one.digest() == other.digest()
    assert one.key() != other.key()
    assert hash(one) != hash(other)
    assert one.key() == IFS([c.maps for c in one], [c.probabilities for c in one]).key()
    assert re.fullmatch("[0-9a-f]{64}", one.key())


@pytest.mark.parametrize("least, most", [(1, 2), (2, 9), (7, 20), (1, 257), (256, 257)])
def test_probabilities_of_many_categories_equal_those_of_each_alone(least, most):
    """To the bit: from 8 numbers on, NumPy adds in another order than one by one."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(least, most, 500)
    maps = [rng.uniform(-1, 1, (n, 6)) * 10.0 ** rng.integers(-3, 4, (n, 1)) for n in sizes]
    for found, rows in zip(IFS(maps), maps, strict=True):
        a, b, c, d, _, _ = rows.T
        weights = np.abs(a * d - b * c)
        assert found.probabilities.tobytes() == (weights / weights.sum()).tobytes()


def test_a_category_is_a_view(many):
    family = IFS([c.maps for c in many], [c.probabilities for c in many])
    for a, b in zip(family, family, strict=True):
        assert np.shares_memory(a.maps, b.maps)
        assert np.shares_memory(a.probabilities, b.probabilities)
    reordered = family[::-7]
    assert same_bits(reordered, [many[n] for n in range(len(many))[::-7]])
    assert reordered.fill_rates(**MEASURE).shape == (len(reordered),)


def test_maps_can_have_any_numeric_type(ifs):
    for kind in (np.int8, np.uint64, np.float32, np.float64, np.longdouble):
        rows = np.array([[2, 0, 0, 3, 0, 0], [1, 0, 0, 1, 1, 1]], kind)
        assert IFS([rows]) == IFS([rows.tolist()])
    mixed = IFS([np.ones((1, 6), np.float32) / 3, [[1, 0, 0, 1, 0, 0]]], [[1], [1]])
    assert mixed[0].maps[0, 0] == np.float32(1) / np.float32(3)


def test_a_pickled_family_is_the_same_to_the_bit(ifs):
    back = pickle.loads(pickle.dumps(ifs))
    assert same_bits(back, ifs)
    assert back.candidates_tried == ifs.candidates_tried
    assert pickle.loads(pickle.dumps(IFS([SIERPINSKI]))).candidates_tried is None


def test_the_arrays_of_a_family_are_read_only(ifs):
    for family in (ifs, IFS([SIERPINSKI]), pickle.loads(pickle.dumps(ifs))):
        with pytest.raises(ValueError, match="read-only"):
            family[0].maps[0, 0] = 7
        with pytest.raises(ValueError, match="read-only"):
            family[0].probabilities[0] = 7
        with pytest.raises(TypeError):
            family[0] = family[0]
        with pytest.raises(AttributeError):
            family.candidates_tried = 7


def test_a_family_copies_its_arguments():
    maps, chances = np.array(SIERPINSKI), np.array([0.5, 0.25, 0.25])
    family = IFS([maps], [chances])
    maps[:], chances[:] = 9, 9
    assert same_bits(family, IFS([SIERPINSKI], [[0.5, 0.25, 0.25]]))


# Construction


def test_default_probabilities_are_proportional_to_area():
    family = IFS([[[1, 0, 0, 0.5, 0, 0], [0, 0.5, 0.5, 0, 0, 1], [1, 1, 1, 1, 0, 0]]])
    np.testing.assert_array_equal(family[0].probabilities, [2 / 3, 1 / 3, 0])
    assert family.candidates_tried is None


def test_a_category_may_have_256_maps_and_no_more():
    assert len(IFS([SIERPINSKI[:1] * 256])[0].maps) == 256
    with pytest.raises(ValueError, match="between 1 and 256 maps, got 257"):
        IFS([SIERPINSKI[:1] * 257])
    with pytest.raises(ValueError, match="between 1 and 256 maps, got 0"):
        IFS([np.empty((0, 6))], [[]])


@pytest.mark.parametrize(
    "maps, probabilities, kind, said",
    [
        ([], None, ValueError, "at least one category, got none"),
        ([[0.5] * 6], None, ValueError, r"category 0 must have shape \(n, 6\), got \(6,\)"),
        ([[[0.5] * 5]], None, ValueError, r"shape \(n, 6\), got \(1, 5\)"),
        ([SIERPINSKI, [[0.5] * 7]], None, ValueError, r"category 1 .*got \(1, 7\)"),
        ([[[["a"] * 6]]], None, TypeError, "must be numbers, got <U1"),
        ([[["0.5"] * 6]], None, TypeError, "must be numbers"),
        ([[[None] * 6]], None, TypeError, "must be numbers, got object"),
        ([[[1j] * 6]], None, TypeError, "must be numbers, got complex"),
        ([[[True] * 6]], None, TypeError, "must be numbers, got bool"),
        ([[[0.5, 0, 0, 0.5, np.nan, 0]]], None, ValueError, "category 0.*finite.*NaN in map 0"),
        ([SIERPINSKI, [[0.5] * 5 + [np.inf]]], [[1, 0, 0], [1]], ValueError, "category 1.*inf"),
        ([[[np.nan] * 6]], None, ValueError, "category 0"),
        ([[[0.5, 0, 0, 0, 0, 0]]], None, ValueError, "no area.*give probabilities"),
        ([SIERPINSKI], [[0.5, 0.5]], ValueError, r"shape \(3,\), got \(2,\)"),
        ([SIERPINSKI], [[[1, 0, 0]]], ValueError, r"shape \(3,\), got \(1, 3\)"),
        ([SIERPINSKI], [[1, 0, 0]] * 2, ValueError, "each of 1 categories, got 2"),
        ([SIERPINSKI], [[0.5, 0.25, 0.2]], ValueError, "category 0.*sum to 1.*0.95"),
        ([SIERPINSKI], [[0.5, 0.5, 0.1]], ValueError, "category 0.*sum to 1.*1.1"),
        ([SIERPINSKI], [[0.5, 0.25, 0.25001]], ValueError, "category 0.*sum to 1.*1.00001"),
        ([SIERPINSKI], [[-0.5, 0.75, 0.75]], ValueError, "got -0.5 for map 0"),
        ([SIERPINSKI], [[0, 1.5, -0.5]], ValueError, "got 1.5 for map 1"),
        ([SIERPINSKI], [[np.nan, 0.5, 0.5]], ValueError, "got NaN for map 0"),
        ([SIERPINSKI], [["1", "0", "0"]], TypeError, "probabilities of category 0 must be num"),
    ],
)
def test_invalid_maps_and_probabilities_are_refused_with_their_values(
    maps, probabilities, kind, said
):
    with pytest.raises(kind, match=said):
        IFS(maps, probabilities)


# The digest


def by_hand(family):
    rows = [(*row, p) for maps, chances in family for row, p in zip(maps, chances, strict=True)]
    return hashlib.sha256(b"".join(struct.pack("<7d", *row) for row in rows)).hexdigest()


def test_the_digest_is_the_sha256_of_the_rows(ifs):
    assert ifs.digest() == by_hand(ifs)
    transposed = IFS([np.asfortranarray(c.maps) for c in ifs], [c.probabilities for c in ifs])
    assert transposed.digest() == ifs.digest()


# Files of save


def test_a_saved_family_is_the_same_to_the_bit(ifs, tmp_path):
    for name in ("found.npz", "no_suffix"):
        ifs.save(tmp_path / name)
        back = IFS.load(str(tmp_path / name))
        assert same_bits(back, ifs)
        assert back.candidates_tried == ifs.candidates_tried
    assert sorted(file.name for file in tmp_path.iterdir()) == ["found.npz", "no_suffix"]


def test_a_file_remembers_that_there_was_no_search(tmp_path):
    IFS([SIERPINSKI]).save(tmp_path / "made.npz")
    assert IFS.load(tmp_path / "made.npz").candidates_tried is None


def test_the_permissions_of_a_saved_file_obey_the_umask(ifs, tmp_path):
    old = os.umask(0o027)
    try:
        ifs.save(tmp_path / "found.npz")
        assert os.umask(0o027) == 0o027  # unchanged
    finally:
        os.umask(old)
    assert (tmp_path / "found.npz").stat().st_mode & 0o777 == 0o640


def test_loading_a_missing_file_raises_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.npz"):
        IFS.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize("content", [b"", b"a,b,c\n", b"PK\x03\x04", b"\x93NUMPY", bytes(1000)])
def test_loading_another_kind_of_file_raises_a_value_error_with_its_name(tmp_path, content):
    (tmp_path / "odd.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.npz is not a file that IFS.save wrote"):
        IFS.load(tmp_path / "odd.npz")


def test_loading_a_single_array_raises_a_value_error(tmp_path):
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"one\.npy is not a file that IFS.save wrote"):
        IFS.load(tmp_path / "one.npy")


@pytest.mark.parametrize("key", ["maps", "probabilities", "lengths", "candidates_tried"])
def test_loading_a_file_that_lacks_an_array_raises_a_value_error(ifs, tmp_path, key):
    ifs.save(tmp_path / "whole.npz")
    with np.load(tmp_path / "whole.npz") as arrays:
        np.savez(tmp_path / "part.npz", **{k: v for k, v in arrays.items() if k != key})
    with pytest.raises(ValueError, match=rf"part\.npz is not a file that IFS.save wrote.*{key}"):
        IFS.load(tmp_path / "part.npz")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_loading_half_a_file_raises_a_value_error(ifs, tmp_path):
    ifs.save(tmp_path / "half.npz")
    whole = (tmp_path / "half.npz").read_bytes()
    for length in (len(whole) // 2, 10, len(whole) // 3, len(whole) - 1):
        (tmp_path / "half.npz").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"half\.npz is not a file that IFS.save wrote"):
            IFS.load(tmp_path / "half.npz")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_file_raises_a_value_error_or_gives_the_same_family(ifs, tmp_path):
    ifs.save(tmp_path / "bad.npz")
    whole = (tmp_path / "bad.npz").read_bytes()
    refused, others = 0, {}
    for at in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        (tmp_path / "bad.npz").write_bytes(damaged)
        try:
            assert same_bits(IFS.load(tmp_path / "bad.npz"), ifs)
        except ValueError as error:
            assert "bad.npz" in str(error)
            refused += 1
        except Exception as error:
            others[type(error).__name__] = (at, str(error))
    assert refused > len(whole) // 15
    assert not others


@pytest.mark.parametrize(
    "change",
    [
        {"lengths": np.array([4.0, 4.0, 6.0, 5.0, 8.0])},
        {"lengths": np.array(["a"] * 5)},
        {"lengths": np.array([1, 1])},
        {"lengths": np.array([-1, 4])},
        {"lengths": np.array([], np.int64)},
        {"maps": np.ones((27, 5))},
        {"maps": np.array([["a"] * 6] * 27)},
        {"maps": np.full((27, 6), np.nan)},
        {"probabilities": np.full(26, 0.5)},
        {"candidates_tried": np.array("many")},
    ],
    ids=lambda change: "-".join(f"{key}:{value.dtype}" for key, value in change.items()),
)
def test_loading_arrays_that_do_not_match_raises_a_value_error(ifs, tmp_path, change):
    ifs.save(tmp_path / "odd.npz")
    with np.load(tmp_path / "odd.npz") as arrays:
        kept = dict(arrays)
    np.savez(tmp_path / "odd.npz", **kept | change)
    with pytest.raises(ValueError, match=r"odd\.npz is not a file that IFS.save wrote"):
        IFS.load(tmp_path / "odd.npz")


def test_loading_a_file_runs_no_code(ifs, tmp_path):
    """A file contains plain arrays only, and object arrays are refused."""
    ifs.save(tmp_path / "plain.npz")
    with zipfile.ZipFile(tmp_path / "plain.npz") as archive:
        assert all(b"'|O'" not in archive.read(name)[:128] for name in archive.namelist())
    np.savez(tmp_path / "objects.npz", maps=np.array([print], object))
    with pytest.raises(ValueError, match=r"objects\.npz is not a file that IFS.save wrote"):
        IFS.load(tmp_path / "objects.npz")


def test_saving_into_a_missing_folder_names_it(ifs, tmp_path):
    with pytest.raises(OSError, match="no_such_folder"):
        ifs.save(tmp_path / "no_such_folder" / "found.npz")


def test_saving_is_atomic(ifs, tmp_path, monkeypatch):
    old = tmp_path / "old.npz"
    ifs[:2].save(old)
    before = old.read_bytes()
    monkeypatch.setattr(os, "fsync", refuse_to_flush)
    for name in ("old.npz", "new.npz"):
        with pytest.raises(OSError, match="No space left"):
            ifs.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_bytes() == before
    monkeypatch.undo()
    ifs.save(old)
    assert same_bits(IFS.load(old), ifs)


# The authors' files


def row(*values):
    return ",".join(map(str, values)) + "\n"


GOOD = row(*HALF, 0, 0, 1.0)


def written(folder, **files):
    for stem, text in files.items():
        file = folder / f"{stem.lstrip('_').replace('__', '/')}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_categories_survive_csv_to_the_bit(many, tmp_path):
    many.to_csv(tmp_path / "deep" / "csv")
    files = sorted(file.name for file in (tmp_path / "deep" / "csv").iterdir())
    assert files == [f"{number:05d}.csv" for number in range(300)]
    back = IFS.from_csv(str(tmp_path / "deep" / "csv"))
    assert same_bits(back, many)
    assert back.candidates_tried is None


def test_extreme_numbers_survive_csv_to_the_bit(tmp_path):
    family = IFS([[[5e-324, -0.0, 1.7976931348623157e308, -1e-300, 0.1, 1 / 3]]], [[1.0]])
    family.to_csv(tmp_path)
    assert same_bits(IFS.from_csv(tmp_path), family)


def test_writing_csv_files_leaves_no_partial_file(ifs, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", refuse_to_flush)
    with pytest.raises(OSError, match="No space left"):
        ifs.to_csv(tmp_path)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import itertools, os, pathlib, sys
from fdsl import IFS
calls = itertools.count()
def dying(*arguments, _call={call}, **named):
    if next(calls) == 2:
        os._exit(9)
    return _call(*arguments, **named)
{call} = dying
IFS.load(sys.argv[1]).to_csv(sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize("before", [None, "empty", "the same", "fewer"])
def test_csv_files_of_a_killed_writer_are_refused_as_incomplete(ifs, tmp_path, call, before):
    ifs.save(tmp_path / "ifs.npz")
    folder = tmp_path / "csv"
    if before:
        folder.mkdir()
    if before in ("the same", "fewer"):
        (ifs if before == "the same" else ifs[1:3]).to_csv(folder)
    code = [sys.executable, "-c", KILLED.format(call=call), tmp_path / "ifs.npz", folder]
    assert subprocess.run(code, timeout=100).returncode == 9
    if call == "os.fsync" and before in ("the same", "fewer"):  # nothing has changed yet
        assert IFS.from_csv(folder) == (ifs if before == "the same" else ifs[1:3])
    else:
        with pytest.raises(
            (ValueError, FileNotFoundError), match=r"not all categories|no CSV file"
        ):
            fdsl.load(folder)
    ifs.to_csv(folder)
    assert IFS.from_csv(folder) == ifs


@pytest.mark.parametrize("full_at", [0, 3, 5], ids=["first", "middle", "all written"])
def test_csv_files_that_cannot_be_written_leave_the_previous_ones_unchanged(
    ifs, tmp_path, monkeypatch, full_at
):
    calls = itertools.count()

    def flush(descriptor, flush=os.fsync):
        return flush(descriptor) if next(calls) < full_at else refuse_to_flush(descriptor)

    ifs[2:].to_csv(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", flush)
        with pytest.raises(OSError, match="No space left"):
            ifs.to_csv(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    ifs.to_csv(tmp_path)
    assert IFS.from_csv(tmp_path) == ifs


def test_of_two_writers_the_first_wins_even_without_hard_links(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    for link in (os.link, no_links):
        monkeypatch.setattr(os, "link", link)
        file = tmp_path / link.__name__
        write_once(file, b"first")
        write_once(file, b"second")
        assert file.read_bytes() == b"first"
        assert not list(tmp_path.glob(".*"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_once(tmp_path / "nowhere" / "file", b"")


def test_csv_files_in_nested_folders_are_sorted_by_name(tmp_path):
    texts = [row(*HALF, number, 0, 1) for number in range(4)]
    written(
        tmp_path, csv1__00001=texts[1], csv0__00000=texts[0], csv0__00003=texts[3], _00002=texts[2]
    )
    assert [c.maps[0, 4] for c in IFS.from_csv(tmp_path)] == [0, 1, 2, 3]


def test_two_files_for_one_category_are_refused(tmp_path):
    written(tmp_path, csv0__00000=GOOD, csv1__00000=GOOD)
    with pytest.raises(ValueError, match=r"category 00000: .*csv0.*csv1"):
        IFS.from_csv(tmp_path)


def test_a_folder_without_csv_files_raises_file_not_found_error(tmp_path):
    (tmp_path / "readme.txt").write_text("no categories here")
    (tmp_path / "csv0").mkdir()
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match=re.escape(str(folder))):
            IFS.from_csv(folder)


def test_empty_lines_and_spaces_in_a_csv_are_ignored(tmp_path):
    written(tmp_path, _00000="\n 0.5, 0,0,0.5,0 ,0,1.0\r\n\n")
    assert same_bits(IFS.from_csv(tmp_path), IFS([[[*HALF, 0, 0]]]))


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (row(1, 2, 3), r", line 1: expected 7 numbers .*got 3"),
        (GOOD + row(*HALF, 0, 0), r", line 2: expected 7 numbers .*got 6"),
        (row(*HALF, 0, 0, 0, 1), r", line 1: expected 7 numbers .*got 8"),
        (row(*HALF, 0, 0, 1) + row(*HALF, "x", 0, 1), r", line 2: not all numbers: .*x"),
        (row(*"abcdefp") + GOOD, r", line 1: not all numbers"),
        (row(*HALF, "nan", 0, 1), r", line 1: not all finite: .*nan"),
        (row(*HALF, 0, 0, 0.5) + row(*HALF, 0, "-inf", 0.5), r", line 2: not all finite"),
        (row(*HALF, 0, "1e999", 1), r", line 1: not all finite: .*1e999"),
        (row(*HALF, 0, 0, 0.25) * 3, r": .*must sum to 1, got 0\.75"),
        # Errors that neither csv nor float detects:
        (b"\xff\xfe0\x00,\x001\x00\n", "not|decode"),
        (b'0.5,"' + b"1" * 200_000 + b'"\n', "not|limit"),
        (row(*HALF, 0, 0, 1.5) + row(*HALF, 0, 0, -0.5), "probability.*1.5"),
        (row(*HALF, 0, 0, 1) + row(*HALF, 0, 0, 0) * 256, "256 maps, got 257"),
    ],
    ids=[
        "empty",
        "blank lines",
        "3 columns",
        "6 columns",
        "8 columns",
        "a letter",
        "a heading",
        "nan",
        "inf",
        "too large",
        "a sum of 0.75",
        "utf-16",
        "a field too long",
        "a negative probability",
        "257 maps",
    ],
)
def test_a_malformed_csv_raises_a_value_error_with_file_and_line(tmp_path, text, said):
    written(tmp_path, _00000=GOOD, _00001=text)
    with pytest.raises(ValueError, match=rf"00001\.csv.*({said})"):
        IFS.from_csv(tmp_path)


@pytest.mark.parametrize("maps", [1, 9, 256])
def test_a_csv_can_have_more_maps_than_the_authors_search_produces(tmp_path, maps):
    written(tmp_path, _00000="".join(row(*HALF, n, 0, 1 / maps) for n in range(maps)))
    family = IFS.from_csv(tmp_path)
    np.testing.assert_array_equal(family[0].maps[:, 4], range(maps))
    assert family.fill_rates(**MEASURE)[0] > 0


def test_csv_files_of_two_data_sets_are_never_mixed(tmp_path):
    three = IFS([[[0.5, 0, 0, 0.5, e, 0]] for e in (0.1, 0.2, 0.3)])
    three.to_csv(tmp_path)
    three.to_csv(tmp_path)  # overwrites the same files
    with pytest.raises(FileExistsError, match=r"00001\.csv"):
        three[:1].to_csv(tmp_path)
    assert IFS.from_csv(tmp_path) == three


# Other people's categories


def systems(*shapes):
    rng = np.random.default_rng(0)
    return {"params": [{"system": rng.uniform(-1, 1, (n, 2, 3)), "more": 1} for n in shapes]}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_systems_is_read(tmp_path, protocol):
    content = systems(2, 5, 1)
    (tmp_path / "ifs.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    found = IFS.from_pickle(tmp_path / "ifs.pkl")
    assert [len(maps) for maps, _ in found] == [2, 5, 1]
    for category, entry in zip(found, content["params"], strict=True):
        for (a, b, c, d, e, f), p, system in zip(
            category.maps, category.probabilities, entry["system"], strict=True
        ):
            np.testing.assert_array_equal([[a, b, e], [c, d, f]], system)
            areas = np.abs(np.linalg.det(entry["system"][:, :, :2]))
            assert p == pytest.approx(abs(a * d - b * c) / areas.sum())
    assert fdsl.load(tmp_path / "ifs.pkl") == found


def numpy_1_pickle(module, order, system):
    """A pickle of NumPy 1 under Python 3 with protocol 2, opcode by opcode."""

    def text(value):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()

    def latin(content):
        return b"c_codecs\nencode\n" + text(content.decode("latin-1")) + text("latin1") + b"\x86R"

    n = len(system)
    return b"".join(
        [
            b"\x80\x02}" + text("params") + b"]}" + text("system"),
            b"c" + module + b"\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + latin(b"b") + b"\x87R",
            b"(K\x01K" + bytes([n]) + b"K\x02K\x03\x87cnumpy\ndtype\n" + text("f8"),
            b"K\x00K\x01\x87R(K\x03"
            + text(order)
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89" + latin(system.astype(f"{order}f8").tobytes()) + b"tbsas.",
        ]
    )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_a_pickle_in_the_format_of_either_numpy_is_read(tmp_path, module, order):
    (system,) = (entry["system"] for entry in systems(3)["params"])
    content = numpy_1_pickle(module, order, system)
    (tmp_path / "ifs.pkl").write_bytes(content)
    expected = IFS([system.reshape(-1, 6)[:, [0, 1, 3, 4, 2, 5]]])
    assert IFS.from_pickle(tmp_path / "ifs.pkl") == expected
    installed = np.zeros(1).__reduce__()[0].__module__.encode()
    theirs = pickle.loads(content.replace(module, installed))
    np.testing.assert_array_equal(theirs["params"][0]["system"], system)


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize(
    "laid",
    [
        np.asfortranarray,
        lambda s: np.repeat(s, 2, axis=0)[::2],
        lambda s: np.ascontiguousarray(s.transpose(1, 0, 2)).transpose(1, 0, 2),
        lambda s: np.ascontiguousarray(s.transpose(1, 2, 0)).transpose(2, 0, 1),
        lambda s: s.astype(">f8"),
        lambda s: np.frombuffer(s.tobytes()).reshape(s.shape),  # read-only
    ],
    ids=["by column", "every second", "axes exchanged", "axes turned", "big-endian", "read-only"],
)
def test_a_pickle_of_an_array_with_another_memory_layout_is_read(tmp_path, protocol, laid):
    plain = systems(4, 2)
    expected = IFS([e["system"].reshape(-1, 6)[:, [0, 1, 3, 4, 2, 5]] for e in plain["params"]])
    content = {"params": [{"system": laid(entry["system"])} for entry in plain["params"]]}
    (tmp_path / "ifs.pkl").write_bytes(pickle.dumps(content, protocol))
    assert IFS.from_pickle(tmp_path / "ifs.pkl") == expected


@pytest.mark.parametrize("kind", ["f4", "f2", "i1", "u2", "i4", "i8", "u8"])
def test_a_pickle_of_another_numeric_type_is_read(tmp_path, kind):
    system = np.arange(1, 19).reshape(3, 2, 3).astype(kind)
    other = {"mask": np.array([True]), "names": np.array(["a"]), "objects": np.array([{}], object)}
    content = {"params": ({"system": system, **other},), "more": (1.5, None, {3: b"", (1, 2): 4})}
    (tmp_path / "ifs.pkl").write_bytes(pickle.dumps(content))
    found = IFS.from_pickle(tmp_path / "ifs.pkl")
    assert found[0].maps[:, [0, 1, 4]].tolist() == system[:, 0].tolist()
    assert found[0].maps[:, [2, 3, 5]].tolist() == system[:, 1].tolist()


class Malice:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def test_a_pickle_cannot_change_numpy(tmp_path):
    """Not even the functions that it may refer to can be abused."""
    module = "numpy._core.numeric" if np.__version__ >= "2" else "numpy.core.numeric"
    numeric = importlib.import_module(module)
    before = numeric._frombuffer.__defaults__, dict(vars(numeric._frombuffer))
    attack = b"c%s\n_frombuffer\n(dS'__defaults__'\n(I1\ntss}S'evil'\nI1\nsb."
    state = b"c%s\n_frombuffer\n(N(dS'evil'\nI1\ns(dS'__name__'\nS'evil'\nstb."
    for content in (attack, state):
        (tmp_path / "bad.pkl").write_bytes(content % module.encode())
        with pytest.raises(ValueError, match=r"bad\.pkl"):
            IFS.from_pickle(tmp_path / "bad.pkl")
    assert (numeric._frombuffer.__defaults__, dict(vars(numeric._frombuffer))) == before
    assert numeric._frombuffer.__name__ == "_frombuffer"


def test_a_pickle_with_anything_else_inside_is_refused(tmp_path):
    marker = tmp_path / "was_run"
    for malice in (
        Malice(os.system, f"touch {marker}"),
        Malice(eval, f"open({str(marker)!r}, 'w')"),
        Malice(getattr, "text", "upper"),
        Malice(np.fromfile, str(marker)),
        np.float64(3).dtype.type,  # a class is pickled as a name
    ):
        content = {**systems(2), "extra": malice}
        (tmp_path / "bad.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match=r"bad\.pkl: it asks for .* and may hold nothing but"):
            IFS.from_pickle(tmp_path / "bad.pkl")
    assert not marker.exists()


@pytest.mark.parametrize(
    "content, said",
    [
        (pickle.dumps([1, 2]), "expected a dictionary with a list of systems"),
        (pickle.dumps({"params": []}), "expected a dictionary with a list of systems"),
        (pickle.dumps({"params": [{"sys": 1}]}), "category 0: expected an array of numbers"),
        (
            pickle.dumps({"params": [*systems(2)["params"], {"system": np.zeros((2, 3, 3))}]}),
            r"category 1: expected a system \(n, 2, 3\), got shape \(2, 3, 3\)",
        ),
        (
            pickle.dumps({"params": [{"system": np.full((2, 2, 3), np.nan)}]}),
            "category 0 .* are not finite",
        ),
        (
            pickle.dumps({"params": [{"system": np.array([["a"]])}]}),
            "category 0: expected an array of numbers",
        ),
        (pickle.dumps(systems(2))[:-20], "is not a whole pickle"),
        (b"", "is not a whole pickle"),
        (b"a,b,c\n1,2,3\n", r"odd\.pkl"),
    ],
)
def test_a_pickle_of_something_else_is_refused_in_a_sentence(tmp_path, content, said):
    (tmp_path / "odd.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        IFS.from_pickle(tmp_path / "odd.pkl")
    with pytest.raises(FileNotFoundError, match="no such file"):
        IFS.from_pickle(tmp_path / "none.pkl")


def test_a_csv_file_from_a_spreadsheet_is_read(ifs, tmp_path):
    """Some start with a UTF-8 byte order mark."""
    ifs.to_csv(tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert IFS.from_csv(tmp_path) == ifs


def test_load_reads_every_kind_of_source(ifs, tmp_path):
    ifs.save(tmp_path / "saved.npz")
    ifs.to_csv(tmp_path / "csv")
    assert fdsl.load(tmp_path / "saved.npz") == fdsl.load(str(tmp_path / "csv")) == ifs
    fdsl.Bezier(4).save(tmp_path / "curves.npz")
    assert fdsl.load(tmp_path / "curves.npz") == fdsl.Bezier(4)
    assert fdsl.load("perlin-100") == fdsl.Perlin(100)
    assert fdsl.load("bezier-144") == fdsl.Bezier(144)
    assert fdsl.load("fractaldb-10") == fdsl.fractaldb(10)
    (tmp_path / "perlin-9").mkdir()
    ifs.to_csv(tmp_path / "perlin-9")
    assert fdsl.load(tmp_path / "perlin-9") == ifs  # an existing path has precedence over a name


@pytest.mark.parametrize("name", ["perlim-100", "perlin-1.5k", "rcdb-1K", "ifs-10"])
def test_an_unknown_name_is_refused_with_a_list_of_the_known_ones(name):
    with pytest.raises(FileNotFoundError) as error:
        fdsl.load(name)
    start = f"no categories at {name}: expected a published set (fractaldb-1k, "
    assert str(error.value).startswith(start)
    for known in ("fractaldb-N", "perlin-N", "rcdb-N", "rcdb-1k"):
        assert known in str(error.value)
    assert "ifs-N" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("FractalDB-1k", "fractaldb-1k"),
        ("1p-frac", "1p-frac-1k"),
        ("exfractaldb-1k", "ex-fractaldb-1k"),
        ("perlim-7", "perlin-7"),
    ],
)
def test_a_misspelled_name_is_refused_with_the_right_one(name, meant):
    says = rf"^no categories at {name}: .*; did you mean {meant}\?$"
    with pytest.raises(FileNotFoundError, match=says):
        fdsl.load(name)


@pytest.mark.parametrize("name", ["fractaldb-1000.npz", "perlin-²", "x" * 10**5])
def test_what_is_no_misspelled_name_is_not_taken_for_one(name):
    with pytest.raises(FileNotFoundError) as error:
        fdsl.load(name)
    assert "did you mean" not in str(error.value)


def test_only_published_sets_count_in_thousands():
    assert fdsl.load("fractaldb-10k") == fdsl.fractaldb(10_000)
    assert fdsl.load("rcdb-1k") != fdsl.load("rcdb-1000") == fdsl.RCDB(1000)
    with pytest.raises(ValueError, match="source must be a name, a file or a folder, got ''"):
        fdsl.load("")
    with pytest.raises(FileNotFoundError, match="no categories at rcdb-2k"):
        fdsl.load("rcdb-2k")


def test_a_name_takes_the_options_of_its_family(tmp_path):
    expected = fdsl.Perlin(100, octaves=3, contrast=2.0)
    assert fdsl.load("perlin-100", octaves=3, contrast=2.0) == expected
    assert fdsl.load("rcdb-5", seed=4) == fdsl.RCDB(5, seed=4)
    with pytest.raises(TypeError, match="perlin has no option 'octave'; its options: octaves, per"):
        fdsl.load("perlin-100", octave=3)
    with pytest.raises(TypeError, match="set fractaldb-1k takes no options, got octaves"):
        fdsl.load("fractaldb-1k", octaves=3)
    with pytest.raises(TypeError, match="fractaldb has no option 'seed'; its options: none"):
        fdsl.load("fractaldb-10", seed=3)
    with pytest.raises(ValueError, match="octaves"):
        fdsl.load("perlin-100", octaves=99)
    fdsl.Perlin(4).save(tmp_path / "noise.npz")
    with pytest.raises(TypeError, match=r"a file takes no options, got octaves for .*noise\.npz"):
        fdsl.load(tmp_path / "noise.npz", octaves=3)


def test_load_lists_what_it_accepts(tmp_path):
    with pytest.raises(FileNotFoundError, match="no CSV file in"):
        fdsl.load(tmp_path)
    with pytest.raises(ValueError, match="square number, such as 100, got 7"):
        fdsl.load("perlin-7")
    np.savez(tmp_path / "future.npz", family="dragons")
    with pytest.raises(
        ValueError, match=r"no family 'dragons'; .*known: .*bezier, .*ifs, .*perlin"
    ):
        fdsl.load(tmp_path / "future.npz")
    (tmp_path / "odd.txt").write_text("text")
    with pytest.raises(ValueError, match=r"odd\.txt is not a file that Family\.save wrote"):
        fdsl.load(tmp_path / "odd.txt")
