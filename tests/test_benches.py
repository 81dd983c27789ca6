"""The benchmarks: the peers do the same work, and every part runs."""

import re
import sys
from pathlib import Path

import fdsl
import numpy as np
import pytest
from scripts import ran

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benches"))
measure = pytest.importorskip("measure", reason="needs tqdm")
import peers


@pytest.fixture
def category():
    return fdsl.IFS.search(categories=1, fill_rate=0.2, seed=1)[0]


def fill_rate(image):
    return (image > 0).mean()


def close(one, other):
    """Checks that two images show the same category in the same orientation."""
    assert one.shape == other.shape
    assert set(np.unique(one)) == set(np.unique(other)) == {0, 127}
    assert fill_rate(one) == pytest.approx(fill_rate(other), rel=0.1)

    def differ(a, b):
        """Compares coarse versions of two images, because single pixels differ by chance."""
        coarse = [image.reshape(8, 8, 8, 8).mean((1, 3)).ravel() for image in (a, b)]
        return 1 - np.corrcoef(*coarse)[0, 1]

    shifted = [np.roll(one, 8, 0), np.roll(one, 8, 1)]
    wrong = [one[::-1], one[:, ::-1], one[::-1, ::-1], one.T, *shifted]
    assert differ(one, other) < 0.5 * min(differ(image, other) for image in wrong)


def ours(category, **rendering):
    ifs = fdsl.IFS([category.maps], [category.probabilities])
    rendering = fdsl.Rendering(size=64, variation=None, flips=False, **rendering)
    return fdsl.render(ifs, 0, 0, rendering=rendering)


@pytest.mark.parametrize("draw", ["patch", "point"])
def test_numpy_draws_the_same_image(category, draw):
    close(
        peers.numpy_image(category, 20_000, 64, draw)[..., 0],
        ours(category, num_points=20_000, draw=draw),
    )


def test_numba_does_the_same_work(category):
    # Without numba, the loops run as plain Python, which is fast enough for a small image.
    maps, cumulative = peers.arrays(category)
    for loop, draw in ((peers.numba_patches, "patch"), (peers.numba_points, "point")):
        close(loop(maps, cumulative, 20_000, 64, 7), ours(category, num_points=20_000, draw=draw))
    rate = peers.numba_fill_rate(maps, cumulative, 20_000, 64, 7, 0.0)
    ifs = fdsl.IFS([category.maps], [category.probabilities])
    expected = ifs.fill_rates(size=64, num_points=20_000)[0]
    assert rate == pytest.approx(expected, rel=0.1)
    assert peers.numba_fill_rate(maps, cumulative, 20_000, 64, 7, rate) == rate
    assert peers.numba_fill_rate(maps, cumulative, 20_000, 64, 7, 4.8) < rate  # gave up
    escaping = np.array([[1.5, 0, 0, 1.5, 1, 1.0]])
    assert peers.numba_fill_rate(escaping, np.ones(1), 20_000, 64, 7, 0.0) == 0


def test_candidates_are_distributed_as_in_a_search():
    drawn = peers.candidates(200)
    assert {len(maps) for maps, _ in drawn} == set(range(2, 9))
    assert all(cumulative[-1] == pytest.approx(1) for _, cumulative in drawn)


def test_a_contender_may_report_its_own_time():
    rates = measure.rounds("test", {"timed": lambda: (10, 0.5), "untimed": lambda: 10}, 3)
    assert rates["timed"].all == [20.0] * 3
    assert len(rates["untimed"].all) == 3
    assert measure.Rates([4.0, 9.0]).over(measure.Rates([2.0, 3.0])) == 2.5


@pytest.mark.parametrize(
    ("value", "text"), [(1234, "1,230"), (0.12345, "0.123"), (98765, "98,800"), (42, "42")]
)
def test_numbers_have_three_significant_digits(value, text):
    assert measure.number(value) == text


PATCHES = "256², 200,000 points, patch random"
#: What stands around a figure on a page, and the row of the results that it is in.
FIGURES = [
    ("README.md", r"{} images/s at 256² with 200,000 patches", PATCHES),
    ("README.md", r"{} with 100,000 single-pixel points", "– point, 100,000 points"),
    ("README.md", r"{} at 64² with 12,500 patches", "64², 12,500 points, patch random"),
    ("README.md", r"{} times as fast as a plain numba loop", f"numba: {PATCHES}"),
    ("README.md", r"{} times as fast as a point-by-point NumPy loop", f"numpy: {PATCHES}"),
    ("README.md", r"{} times as fast as datumaro", f"datumaro: {PATCHES}"),
    ("README.md", r"category search: {} candidate systems per second", "our sampler"),
    ("README.md", r"the training loop receives {} images/s", "Loader, 2 threads"),
    ("docs/training.md", r"delivers {} images/s of 224²", "Loader, 1 thread"),
]


def cells_of(results, name):
    """The cells of the first row of a name, by the heads of their columns."""
    for table in re.findall(r"((?:^\|.*\n)+)", results, re.M):
        head, _, *rows = (line.strip("| ").split(" | ") for line in table.splitlines())
        for row in rows:
            if row[0] == name:
                return dict(zip(head[1:], row[1:], strict=False))
    raise AssertionError(f"no row {name!r}")


@pytest.mark.parametrize(("page", "around", "name"), FIGURES)
def test_a_figure_on_a_page_is_that_of_its_row(page, around, name):
    results = (ROOT / "benches" / "RESULTS.md").read_text(encoding="utf-8")
    text = (ROOT / page).read_text(encoding="utf-8")
    block = re.search(r"<!-- measured by make bench -->\n(.*?)\n<!-- end -->", text, re.S)[1]
    (figure,) = re.findall(around.format(r"([\d.,]*\d)"), block)
    cells = cells_of(results, name)
    heads = list(cells)
    if "spread" in heads:  # after the rate, or after that of the best backend
        column = heads[heads.index("spread") - 1]
    else:
        column = next(h for h in heads if h.startswith("speedup") or h == "candidates/s")
    assert figure == cells[column].removesuffix(" times")


def test_the_share_in_the_readme_is_that_of_its_row():
    results = (ROOT / "benches" / "RESULTS.md").read_text(encoding="utf-8")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    share = float(cells_of(results, "Loader, 2 threads")["share of cores × kernel"])
    assert re.findall(r"(\d+)% of 2 times the rendering", text) == [f"{share:.0%}"[:-1]]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_part_runs(tmp_path):
    pytest.importorskip("torchvision")
    pytest.importorskip("matplotlib")
    (tmp_path / "docs").mkdir()
    for page in ("README.md", "docs/training.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        blank = re.sub(r"(bench -->\n).*?(\n<!-- end)", r"\1\2", text, flags=re.DOTALL)
        (tmp_path / page).write_text(blank, encoding="utf-8")
    command = [sys.executable, ROOT / "benches" / "run.py", "--quick", "--out", tmp_path]
    run = ran(command)
    assert run.returncode == 0, run.stderr[-2000:]
    text = (tmp_path / "benches" / "RESULTS.md").read_text(encoding="utf-8")
    assert not re.findall(r"\{\w+\}", text)
    assert "not exact" not in text
    assert "Loader, 1 thread" in text
    assert (tmp_path / "docs" / "speed.png").stat().st_size > 5000
    for page in ("README.md", "docs/training.md"):
        filled = (tmp_path / page).read_text(encoding="utf-8")
        assert "<!-- measured by make bench -->\n\n<!-- end -->" not in filled
