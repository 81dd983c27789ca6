"""What hypothesis draws from, for more than one file."""

from fdsl import IFS, Bezier, Family, Perlin, Rendering
from hypothesis import strategies as st

sides = st.integers(16, 40)


@st.composite
def renderings(draw):
    size = draw(sides), draw(sides)
    crop = draw(st.none() | st.tuples(st.integers(1, size[0]), st.integers(1, size[1])))
    return Rendering(
        size=size,
        crop=crop,
        num_points=draw(st.integers(1, 500)),
        draw=draw(st.sampled_from(["patch", "point"])),
        patch=draw(st.sampled_from(["random", "fixed"])),
        color=draw(st.booleans()),
        variation=draw(st.none() | st.floats(0, 1, exclude_min=True)),
        margin=draw(st.integers(0, (min(size) - 2) // 2)),
        crop_position=draw(st.sampled_from(["random", "center"])),
        variation_kind=draw(st.sampled_from(["grid", "continuous"])),
        flips=draw(st.booleans()),
    )


@st.composite
def families(draw) -> Family:
    """One to three categories of any family."""
    kind = draw(st.sampled_from(["ifs", "perlin", "bezier"]))
    number = draw(st.integers(1, 3))
    if kind == "ifs":
        seed = draw(st.integers(0, 1000))
        return IFS.search(number, 0.02, seed=seed, size=32, num_points=500)
    if kind == "bezier":
        counts = st.tuples(st.integers(2, 64), st.integers(1, 30))
        return Bezier([draw(counts) for _ in range(number)])
    frequencies = st.one_of(st.floats(1, 36), st.floats(0.01, 4096))
    return Perlin(
        [(draw(frequencies), draw(frequencies)) for _ in range(number)],
        octaves=draw(st.integers(1, 16)),
        persistence=draw(st.floats(0.01, 1)),
        contrast=draw(st.floats(0.01, 100)),
    )
