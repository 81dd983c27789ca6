"""The authors' code of RCDB and VisualAtom, replayed: the same categories and images."""

import hashlib
import pickle
import warnings

import fdsl
import fdsl.export
import numpy as np
import pytest
from fdsl import RCDB, Contours, VisualAtom
from published import agreement, reference, scores

FAMILIES = {"rcdb": RCDB, "visualatom": VisualAtom}
#: SHA-256 of the rows that the released code draws, in the order of their own files.
LISTS = {
    ("rcdb", 10): "ab3b474b4d782c47f607ede64849959b78d1a2fb6e1aa2e4f0670dba1d82a1fe",
    ("rcdb", 40): "c489e424cdf0552feca598b8dab667bc97a62b70e4e519f6a95d21516fd0fcfc",
    ("visualatom", 20): "a78b067f30f4cd50e3fae1bbf9f65b5c95f1f4049ac2c26426da64ab15033ca8",
}
FIRST = {
    "rcdb": "c5ef576b0a980a1b0db626aeb10df72db097f5660f12b607626d9a7bdcd25304",
    "visualatom": "bd1cd2ec7e0a31a3fb628aa0f5e7b5020c200994e271eebd2912c262afcd3481",
}


def rows(family):
    """The rows in the original order: n L λ w r ox oy cy cx, then VisualAtom's frequencies."""
    arrays = family._arrays()
    start = arrays["origins"][:, 2:]
    if family.name == "rcdb":
        return np.column_stack([arrays["contours"], start])
    own = arrays["atoms"]
    return np.column_stack([own[:, :4], start, own[:, 4:6]])


def digest(family):
    return hashlib.sha256(np.ascontiguousarray(rows(family), "<f8").tobytes()).hexdigest()


def family_of(name, made, seed=None):
    """One category with the parameters of an image, and where its random numbers begin."""
    row = [made["n"], made["L"], made["lambda"], made["w"]]
    if name == "visualatom":
        row += [made[key] for key in ("n1", "n2", "r", "ox", "oy")]
    begins = [made["seed"], made["skip_words"]] if seed is None else [seed, 0]
    origin = [*begins, *(made[key] for key in ("r", "ox", "oy", "cy", "cx"))]
    cls = FAMILIES[name]
    arrays = {cls._categories_array: np.array([row], float), "origins": np.array([origin])}
    return cls._from_arrays(arrays)


@pytest.mark.parametrize("name", FAMILIES)
def test_images_are_the_programs_byte_for_byte(name):
    told, images = reference(name)
    found = []
    for made, theirs in zip(told["pictures"], images["images"], strict=True):
        ours = fdsl.render(family_of(name, made), 0, 0, rendering=Contours.released())
        found.append(agreement(ours, theirs, told["background"]))
    assert min(found) >= 0.99 and np.mean(found) >= 0.995, found


@pytest.mark.parametrize("name", FAMILIES)
def test_published_categories_render_the_programs_images(name):
    told, images = reference(name)
    family = fdsl.load(f"{name}-1k")
    for made, theirs in zip(told["pictures"], images["images"], strict=True):
        if made["category"] is not None and made["category"] < 200:
            address = made["category"], made["instance"]
            ours = fdsl.render(family, *address, rendering=Contours.released())
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", FAMILIES)
def test_published_categories_come_with_the_package(name):
    family = fdsl.load(f"{name}-1k")
    assert len(family) == 1000 and digest(family) == LISTS[name, type(family)._processes]
    assert digest(family[:10]) == FIRST[name]
    copy = pickle.loads(pickle.dumps(family[5:9]))
    assert copy == family[5:9] and rows(copy).tolist() == rows(family)[5:9].tolist()


@pytest.mark.parametrize("name", FAMILIES)
def test_stepping_through_the_program_finds_the_published_categories(name):
    # Of the first process, whose share of 1,000 categories begins with them.
    cls = FAMILIES[name]
    found = cls.released(3, instances=1000, processes=1)
    assert found == fdsl.load(f"{name}-1k")[:3]


def test_a_run_reports_its_progress_and_stops_if_the_report_raises():
    told = []
    RCDB.released(4, instances=2, progress=lambda *counts: told.append(counts))
    assert told[-1] == (4, 4) and told == sorted(told)

    told.clear()

    def cancel(done, categories):
        told.append(done)
        raise TimeoutError("long enough")

    with pytest.raises(TimeoutError, match="long enough"):
        RCDB.released(1000, progress=cancel)
    assert len(told) == 1 and told[0] < 1000


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "processes"), LISTS)
def test_stepping_through_the_whole_run_finds_every_published_category(name, processes):
    assert digest(FAMILIES[name].released(1000, processes=processes)) == LISTS[name, processes]


@pytest.mark.parametrize("name", FAMILIES)
def test_replayed_images_do_not_depend_on_the_order_of_rendering(name):
    # Of two of the original processes.
    family, rendering = fdsl.load(f"{name}-1k")[[0, 101]], Contours.released(size=64)
    addresses = [(0, 3), (1, 0), (0, 0), (0, 1), (1, 2), (0, 3), (0, 2)]
    categories, indices = np.transpose(addresses)
    together = fdsl.render(family, categories, indices, rendering=rendering, num_threads=1)
    for (category, index), image in zip(addresses, together, strict=True):
        one = family[category : category + 1]
        alone = fdsl.render(one, 0, index, rendering=rendering, num_threads=1)
        np.testing.assert_array_equal(alone, image)


@pytest.mark.parametrize("name", FAMILIES)
def test_replayed_images_do_not_depend_on_another_category_of_the_same_origin(name):
    arrays = fdsl.load(f"{name}-1k")[[0, 0]]._arrays()
    rows = arrays[FAMILIES[name]._categories_array].copy()
    rows[1, 0] += 1  # another vertex, so an image takes more random numbers
    family = FAMILIES[name]._from_arrays({**arrays, FAMILIES[name]._categories_array: rows})
    rendering = Contours.released(size=64)
    first, _, again = fdsl.render(family, [1, 0, 1], [5, 2, 5], rendering=rendering, num_threads=1)
    np.testing.assert_array_equal(again, first)


def test_categories_without_a_program_cannot_be_replayed():
    said = r"needs categories that know the original random numbers: fdsl.load\('rcdb-1k'\)"
    with pytest.raises(ValueError, match=said):
        fdsl.render(RCDB(3), 0, 0, rendering=Contours.released())


def measured(image, made, background):
    lit = np.argwhere(image != background)
    distances = lit + 0.0 - [made["cy"], made["cx"]]
    rms_y, rms_x = np.sqrt((distances**2).mean(0))
    return {"lit_fraction": len(lit) / image.size, "rms_x": rms_x, "rms_y": rms_y}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_other_random_numbers_give_the_same_kind_of_image(name):
    told, _ = reference(name)
    found = []
    for made in told["pictures"]:
        draws = []
        for seed in range(1000, 1060):
            family = family_of(name, made, seed)
            image = fdsl.render(family, 0, 0, rendering=Contours.released())
            draws.append(measured(image, made, told["background"]))
        wanted = ("lit_fraction", "rms_x", "rms_y")
        found.append(scores(draws, {key: made["own_stream"][key] for key in wanted}))
    z = np.concatenate(found)
    assert np.abs(z).max() <= 4 and (z**2).sum() <= 60, z


@pytest.mark.parametrize("family", [RCDB(6), VisualAtom(6)], ids=lambda family: family.name)
def test_background_and_lines_can_be_chosen(family):
    size = {"size": 96}
    plain = fdsl.render(family, range(6), 4, rendering=Contours(**size))
    own = 255 if family.name == "rcdb" else 0
    other = "black" if own else "white"
    turned = fdsl.render(family, range(6), 4, rendering=Contours(background=other, **size))
    drawn = (plain != own) & (turned != 255 - own)
    assert drawn.any() and (plain == turned)[drawn].all()
    thick = fdsl.render(family, range(6), 4, rendering=Contours(line_width=5, **size))
    assert (thick != own).sum() > 1.1 * (plain != own).sum()
    for colors in ("random", "cycle"):
        frame = Contours(color=True, line_color=colors, **size)
        image = fdsl.render(family, range(6), 4, rendering=frame)
        assert ((image != own).any(-1) >= (plain != own)).mean() > 0.999
        assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
    with pytest.raises(ValueError, match="line_color must be 'gray' unless color=True"):
        Contours(line_color="random")
    with pytest.raises(ValueError, match="line_width must be between 1 and 64, got 65"):
        Contours(line_width=65)


def test_processes_without_a_category_draw_nothing():
    few = fdsl.RCDB.released(10, instances=10, processes=1_000_000)
    assert len(few) == 10
    with pytest.raises(ValueError, match="processes must be at most 1,000,000, got 1000001"):
        fdsl.RCDB.released(10, processes=1_000_001)


def test_origins_far_from_the_image_are_refused():
    family = fdsl.RCDB.released(1, instances=1)
    arrays = {"contours": family._rows, "origins": family._origins.copy()}
    accepted = {"radius": "0 and 256", "oval": "0 and 4", "center": "-512 and 1024"}
    for column, name in enumerate(("radius", "oval", "oval", "center", "center"), 2):
        for value in (1025, -513, np.nan):
            wrong = {**arrays, "origins": arrays["origins"].copy()}
            wrong["origins"][0, column] = value
            said = f"the {name} in origins must be between {accepted[name]}, got"
            with pytest.raises(ValueError, match=said):
                fdsl.RCDB._from_arrays(wrong)
    for column in (0, 1):
        wrong = {**arrays, "origins": arrays["origins"].copy()}
        wrong["origins"][0, column] = 0.5
        with pytest.raises(ValueError, match=r"origins must be a whole number .*, got 0\.5"):
            fdsl.RCDB._from_arrays(wrong)


@pytest.mark.parametrize("name", FAMILIES)
def test_origins_of_another_shape_are_refused_when_a_file_is_loaded(name, tmp_path):
    arrays = fdsl.load(f"{name}-1k")[:3]._arrays()
    origins = arrays.pop("origins")
    for wrong in (origins[:2], origins[:, :6], origins[0], origins > 0):
        np.savez(tmp_path / "wrong.npz", family=name, origins=wrong, **arrays)
        with pytest.raises(ValueError, match=r"wrong\.npz .*origins must be numbers \(3, 7\), got"):
            fdsl.load(tmp_path / "wrong.npz")


def test_a_replay_in_the_order_of_a_stream_says_that_it_is_slow(tmp_path):
    data = fdsl.published("rcdb-1k")
    few, small = data.family[:2], Contours.released(size=32)
    with pytest.warns(UserWarning, match=r"order of a stream it takes up to 3 s.*; export folders"):
        fdsl.export.shards(few, tmp_path / "shards", instances=2, rendering=small)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fdsl.export.folders(few, tmp_path / "folders", instances=2, rendering=small)
        fdsl.export.shards(few, tmp_path / "own", instances=2, rendering=Contours(size=32))


def test_a_stream_of_a_replay_says_that_it_is_slow():
    torch = pytest.importorskip("fdsl.torch")
    few, small = fdsl.load("rcdb-1k")[:2], Contours.released(size=32)
    with pytest.warns(UserWarning, match=r"depends on all earlier ones.*cache=True") as warned:
        torch.Stream(few, rendering=small)
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.Stream(few, rendering=small, instances=2, cache=True)
