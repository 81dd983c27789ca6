"""Published data sets by name: their categories, rendering settings and number of instances."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fdsl._checks import meant, shown
from fdsl.families.base import Family
from fdsl.families.contour import RCDB, Contours, VisualAtom
from fdsl.families.fractaldb import fractaldb
from fdsl.families.ifs import IFS
from fdsl.families.ifs3d import IFS3D, Views
from fdsl.families.leaves import DeadLeaves, Leaves
from fdsl.families.scene import Scene, Scenes
from fdsl.families.segrcdb import RingScenes, SegRCDB
from fdsl.frame import Frame
from fdsl.rendering import Rendering

HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """A published data set.

    >>> import fdsl
    >>> data = fdsl.published("2d-ofdb-1k")
    >>> len(data.family), data.instances
    (1000, 1)
    >>> fdsl.render(data.family[:3], [0, 1, 2], 0, rendering=data.rendering).shape
    (3, 362, 362)
    """

    #: What ``fdsl.load`` and ``fdsl.published`` call it.
    name: str
    #: Its categories.
    family: Family
    #: How its images are rendered.
    rendering: Frame
    #: Images per category.
    instances: int
    #: Whether its categories and images are the authors', byte for byte, as far as their code is
    #: seeded; otherwise they are of the same kind.
    exact: bool
    #: The paper.
    paper: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Entry:
    family: Callable[[], Any]
    rendering: Callable[[], Frame]
    instances: int
    paper: str
    exact: bool = False


def _ofdb() -> Frame:
    return Rendering.released(flips=False)


def _one_parameter() -> IFS:
    base = IFS.sample(1, seed=3, min_maps=2, max_maps=2, singular_sum=(3.9, 4.1))
    return IFS.perturbed(base, 1000, delta=0.1)


_FRACTALDB = "Kataoka et al., Pre-training without Natural Images, ACCV 2020"
_RCDB = "Kataoka et al., Replacing Labeled Real-image Datasets with Auto-generated Contours, "
_RCDB += "CVPR 2022"
_MV = "Yamada et al., MV-FractalDB: Formula-driven Supervised Learning for Multi-view Image "
_MV += "Recognition, IROS 2021"
_OFDB = "Nakamura et al., Pre-training Vision Transformers with Very Limited Synthesized Images, "
_OFDB += "ICCV 2023"
_LEAVES = "Baradad et al., Learning to See by Looking at Noise, NeurIPS 2021"

_ENTRIES: dict[str, _Entry] = {
    "fractaldb-1k": _Entry(
        family=lambda: fractaldb(1000),
        rendering=Rendering.released,
        instances=1000,
        paper=_FRACTALDB,
        exact=True,
    ),
    # Not published in this form: our continuation of the search for FractalDB-1k.
    "fractaldb-10k": _Entry(
        family=lambda: fractaldb(10_000),
        rendering=Rendering.released,
        instances=1000,
        paper=_FRACTALDB,
    ),
    # RCDB.released(1000, processes=10), as the script that renders; the one that trains has 40.
    "rcdb-1k": _Entry(
        family=lambda: RCDB.shipped(HERE / "rcdb.npz"),
        rendering=Contours.released,
        instances=1000,
        paper=_RCDB,
        exact=True,
    ),
    # VisualAtom.released(1000, processes=20).
    "visualatom-1k": _Entry(
        family=lambda: VisualAtom.shipped(HERE / "visualatom.npz"),
        rendering=Contours.released,
        instances=1000,
        paper="Takashima et al., Visual Atoms, CVPR 2023",
        exact=True,
    ),
    # 145 weight rows of twelve views.
    "mv-fractaldb-1k": _Entry(
        family=lambda: IFS3D(1000), rendering=Views, instances=1740, paper=_MV
    ),
    "ex-fractaldb-1k": _Entry(
        family=lambda: IFS3D(1000),
        rendering=lambda: Views(view="random"),
        instances=1000,
        paper=_RCDB,
    ),
    "2d-ofdb-1k": _Entry(
        family=lambda: fractaldb(1000), rendering=_ofdb, instances=1, paper=_OFDB, exact=True
    ),
    # The first weight row, from twelve sides.
    "3d-ofdb-1k": _Entry(family=lambda: IFS3D(1000), rendering=Views, instances=12, paper=_OFDB),
    "1p-frac-1k": _Entry(
        family=_one_parameter,
        rendering=lambda: Rendering(size=512, num_points=100_000, variation=None, flips=False),
        instances=1,
        paper="Nakamura et al., Scaling Backwards: Minimal Synthetic Pre-training?, ECCV 2024",
    ),
    # The released code makes 20,000 images, number 254·i + c; these are the first 19,812.
    "segrcdb": _Entry(
        family=SegRCDB,
        rendering=RingScenes.released,
        instances=78,
        paper="Shinoda et al., SegRCDB: Semantic Segmentation via Formula-Driven Supervised "
        "Learning, ICCV 2023",
        exact=True,
    ),
    "multi-fractal-1k": _Entry(
        family=Scene.multi_fractal,
        rendering=Scenes.wacv22,
        instances=1000,
        paper="Anderson and Farrell, Improving Fractal Pre-training, WACV 2022",
    ),
    "deadleaves-squares": _Entry(
        family=lambda: DeadLeaves(7)[1:2],
        rendering=Leaves.released,
        instances=105_000,
        paper=_LEAVES,
        exact=True,
    ),
    "deadleaves-oriented": _Entry(
        family=lambda: DeadLeaves(7)[2:3],
        rendering=Leaves.released,
        instances=105_000,
        paper=_LEAVES,
        exact=True,
    ),
    "deadleaves-mixed": _Entry(
        family=lambda: DeadLeaves(7)[6:7],
        rendering=Leaves.released,
        instances=105_000,
        paper=_LEAVES,
        exact=True,
    ),
}

#: The same categories by the name of their number.
_NUMBERED = {"fractaldb-1000": "fractaldb-1k", "fractaldb-10000": "fractaldb-10k"}

PUBLISHED = tuple(_ENTRIES)
"""The names of published data sets, for ``published`` and ``load``."""

PRESETS = ("paper", "released", "wacv22", "published")
"""Renderings that have a name: constructors of styles, and the one of a published data set."""


def published(name: str) -> Published:
    """Returns a published data set by name; its categories are made once.

    Args:
        name: such as ``"fractaldb-1k"``, ``"rcdb-1k"`` or ``"2d-ofdb-1k"``.

    Raises:
        ValueError: there is no such data set; the message lists the names.
    """
    name = _NUMBERED.get(name, name)
    if name not in _ENTRIES:
        known = ", ".join(PUBLISHED)
        raise ValueError(
            f"there is no published data set {shown(name)}; known: {known}{meant(name, PUBLISHED)}"
        )
    return _made(name)


@functools.cache
def _made(name: str) -> Published:
    entry = _ENTRIES[name]
    return Published(
        name=name,
        family=entry.family(),
        rendering=entry.rendering(),
        instances=entry.instances,
        exact=entry.exact,
        paper=entry.paper,
    )


def published_family(name: str) -> Family | None:
    """Returns the categories of a published data set, if there is one of this name."""
    return _made(name).family if name in _ENTRIES else None


def preset(name: str, family: Family, *, source: str, **settings: Any) -> Frame:
    """Returns the rendering of a preset, in the style of a family.

    Args:
        name: one of ``PRESETS``.
        source: what the family was loaded from, for ``"published"``.
        **settings: override those of the preset.

    Raises:
        ValueError: the style has no such preset, or no published data set has the source's name.
    """
    if name == "published":
        return dataclasses.replace(published(source).rendering, **settings)
    make = getattr(family.style, name, None) if name in PRESETS else None
    if make is None:
        known = [one for one in PRESETS if one == "published" or hasattr(family.style, one)]
        raise ValueError(
            f"preset {shown(name)} does not apply to {family!r}; known: {', '.join(known)}"
        )
    made: Frame = make(**settings)
    return made
