"""Which formula? All of them side by side, with the same network, recipe and number of images.

Not in the paper. Every line is evaluated in the same way, at its own learning rate, which is chosen
on held-out training images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from studies.plan import OTHERS, Line, Study

#: One image per category with augmentation, instead of new images.
FIXED: dict[str, Any] = {"preset": ("fixed",)}
#: Additional settings for transformers. DeiT's RandAugment has three times this magnitude.
ERASING: dict[str, Any] = {"rand_augment": 9, "erasing": 0.25}

SOURCES: dict[str, dict[str, Any]] = {
    "FractalDB": {},
    "FractalDB, augmented": {"preset": ("augmented",)},
    "FractalDB, fixed": FIXED,
    # Its images are the categories themselves: no variation.
    "1p-frac": {**FIXED, "source": "1p-frac-1k", "variation": 0.0},
    # Their lines and points are one pixel wide: larger images, then resized.
    "RCDB": {"source": "rcdb-1k", "finer": 2},
    "VisualAtom": {"source": "visualatom-1k", "finer": 2},
    # As ExFractalDB renders them, but endless.
    "3D IFS": {"source": "ex-fractaldb-1k", "set": ("view=random",), "variation": 0.6, "finer": 2},
    "Perlin noise": {"source": "perlin-1296"},
    "Bezier curves": {"source": "bezier-1024"},
    "dead leaves": {"source": "deadleaves-1000"},
    "density-shaded fractals": {"source": "multi-fractal-1k", "set": ("max_objects=1",)},
    "density-shaded fractals, augmented": {
        "source": "multi-fractal-1k",
        "set": ("max_objects=1",),
        "preset": ("augmented",),
    },
    "scene, one label": {"source": "multi-fractal-1k"},
    "scene, augmented": {"source": "multi-fractal-1k", "preset": ("augmented",)},
    "scene, all labels": {"source": "multi-fractal-1k", "target": "labels"},
}

#: What may make density-shaded fractals better, one difference from them or from FractalDB each.
DIFFERENCES: dict[str, dict[str, Any]] = {
    "density-shaded fractals, augmented, gray": {
        **SOURCES["density-shaded fractals, augmented"],
        "color": False,
    },
    "density-shaded fractals, augmented, full size": {
        **SOURCES["density-shaded fractals, augmented"],
        "set": ("max_objects=1", "min_scale=1", "max_scale=1", "overhang=0"),
    },
    "FractalDB, augmented, shaded": {
        **SOURCES["FractalDB, augmented"],
        "set": ("shading=density",),
    },
    "FractalDB, augmented, shaded in color": {
        **SOURCES["FractalDB, augmented"],
        "set": ("shading=density",),
        "color": True,
    },
}

#: Sources that the CNN's study also augments, so that the best of each formula can be compared.
AUGMENTED_TOO = ("RCDB", "VisualAtom", "3D IFS", "Perlin noise", "Bezier curves", "dead leaves")

VIEWS = {
    "fashion-mnist": ("few labels",),
    OTHERS: ("some labels", "few labels", "all labels", "probe"),
}
#: The evaluation of lines that only show how the gain grows.
ON_THE_WAY = {"fashion-mnist": (), OTHERS: ("some labels",)}


def formulas(augmentation: Mapping[str, Any], also: Sequence[str] = ()) -> tuple[Line, ...]:
    """The lines: each formula with a million images, then with fewer and with more.

    Args:
        augmentation: additional settings for formulas with augmentation.
        also: formulas that get another line, with augmentation and a million images.
    """
    whole = []
    first = [Line(name="scratch", start="scratch", x=0.0)]
    for name, given in SOURCES.items():
        own = {**given, **augmentation} if "preset" in given else given
        whole.append(Line(name=name, pretrain=own, x=1.0, group=name))
        first.append(whole[-1])
        if name in also:
            own = {**given, **augmentation, "preset": ("augmented",)}
            augmented = f"{name}, augmented"
            first.append(Line(name=augmented, pretrain=own, x=1.0, group=augmented))

    def varied(
        suffix: str, x: float, *, views: Any = None, on_demand: bool = False, **more: Any
    ) -> list[Line]:
        return [
            replace(
                line,
                name=f"{line.name}, {suffix}",
                pretrain={**line.pretrain, **more},
                x=x,
                views=views,
                on_demand=on_demand,
            )
            for line in whole
        ]

    return (
        *first,
        *varied("a quarter", 1 / 4, views=ON_THE_WAY, share=1 / 4),
        *varied("a sixteenth", 1 / 16, views=ON_THE_WAY, share=1 / 16),
        *varied("three times", 3.0, on_demand=True, share=3),
        *varied("another seed", 1.0, on_demand=True, seed=1),
        *(
            Line(name=name, pretrain={**given, **augmentation}, x=1.0, on_demand=True)
            for name, given in DIFFERENCES.items()
        ),
    )


_TITLE = "Which formula? {}, at equal budget (not in the paper)"
_FORMULAS = Study(
    title=_TITLE.format("A small ResNet"),
    lines=formulas({}, also=AUGMENTED_TOO),
    data=("cifar10", "fashion-mnist"),
    figure="gains",
    budget="formulas",
    views=VIEWS,
    tuned=True,
)
FORMULAS = {
    "formulas": _FORMULAS,
    "formulas-vit": replace(
        _FORMULAS,
        title=_TITLE.format("A small vision transformer"),
        lines=formulas(ERASING),
        network="vit",
    ),
}
