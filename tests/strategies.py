"""Hypothesis strategies shared by several test files."""

from fdsl import IFS, IFS3D, Bezier, Family, Frame, Perlin, Rendering, Strokes, Views
from hypothesis import strategies as st

sides = st.integers(16, 40)


@st.composite
def renderings(draw, style: type[Frame] = Rendering, *, dense: bool = False) -> Frame:
    """Draws settings of the given class; ``dense`` are those that need not leave pixels black."""
    size = draw(sides), draw(sides)
    crop = draw(st.none() | st.tuples(st.integers(1, size[0]), st.integers(1, size[1])))
    settings = {
        "size": size,
        "crop": crop,
        "color": draw(st.booleans()),
        "crop_position": draw(st.sampled_from(["random", "center"])),
        "flips": draw(st.booleans()),
    }
    if style in (Rendering, Strokes):
        settings["draw"] = draw(st.sampled_from(["patch", "point"]))
        settings["margin"] = draw(st.integers(0, (min(size) - 2) // 2))
    if style is Rendering:
        settings["num_points"] = draw(st.integers(1, 500))
        settings["patch"] = draw(st.sampled_from(["random", "fixed", "solid"]))
        settings["variation"] = draw(st.none() | st.floats(0, 1, exclude_min=True))
        kinds = ["grid", "continuous", "map", "svd", "sval"]
        settings["variation_kind"] = draw(st.sampled_from(kinds))
    if dense:
        shadings = ["last", "density"] if settings["color"] else ["last", "any", "density"]
        settings["shading"] = draw(st.sampled_from(shadings))
        settings["zoom"] = draw(st.floats(1, 16))
        settings["shift"] = draw(st.floats(0, 1))
        settings["transpose"] = draw(st.booleans())
        settings["background"] = draw(st.sampled_from([None, "diamond-square"]))
        settings["blur"] = draw(st.floats(0, 1))
    if style is Views:
        settings["num_points"] = draw(st.integers(2, 500))
        settings["point_size"] = draw(st.integers(1, 4))
        settings["shade"] = draw(st.booleans())
        views = ["fixed", "two-axis", "three-axis", "random"]
        settings["view"] = draw(st.sampled_from(views))
        settings["jitter"] = draw(st.floats(0, 180))
        settings["variation"] = draw(st.none() | st.floats(0, 1))
    return style(**settings)


@st.composite
def families(draw) -> Family:
    """Draws one to three categories of any family."""
    kind = draw(st.sampled_from(["ifs", "ifs3d", "perlin", "bezier"]))
    number = draw(st.integers(1, 3))
    if kind == "ifs":
        seed = draw(st.integers(0, 1000))
        return IFS.search(number, 0.02, seed=seed, size=32, num_points=500)
    if kind == "ifs3d":
        return IFS3D.search(number, seed=draw(st.integers(0, 1000)), num_points=500)
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


#: A family, and settings that it accepts.
rendered_families = families().flatmap(
    lambda family: st.tuples(st.just(family), renderings(family.style))
)
