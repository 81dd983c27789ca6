"""The paper's settings, scaled to your machine."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import fdsl
from fdsl.torch.training import read_presets
from pretrain import ONE_LABEL, PRESETS, Settings

#: The paper's image size, crop, number of points and margin.
SIZE, CROP, POINTS, MARGIN = 256, 224, 200_000, 6

#: How many images a study pre-trains on, for each of its lines: see the scales.
Budget = Literal["usual", "long", "formulas"]

#: Settings of lines that do not mention them.
USUAL = {
    "categories": 1000,
    "fill_rate": Settings.fill_rate,
    "variation": 0.4,
    "label_noise": 0.0,
}


@functools.cache  # some sets take seconds, and a study has twenty lines of the same
def _style(source: str) -> type[fdsl.Frame]:
    return fdsl.load(source).style


@dataclass(frozen=True, kw_only=True)
class View:
    """A way of evaluating a network: settings of finetune.py that override the scale's."""

    label: str
    settings: Mapping[str, Any]
    #: Learning rates. A study uses the first one or, if it tunes them, the one that does best for
    #: each network on held-out training images, with additional seeds that are not reported.
    lrs: tuple[float, ...] = (0.01,)
    trials: int = 1  # the additional seeds: more where few labels make one seed a poor judge
    lrs_of: str | None = None  # or the rate chosen in this other view


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that replaces the scale's, with settings that suit it."""

    pretrain: Mapping[str, Any]  # settings that override the scale's
    finetune: Mapping[str, Any] = field(default_factory=dict)
    lrs: tuple[float, ...] | None = None  # the rates that its views choose from


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large an experiment is."""

    size: int  # side of the rendered image
    crop: int  # side of the crop
    sees: int  # side of the network's input, to which the crop is resized
    points: int
    margin: int
    most: int | None = None  # most categories; half of it is the most instances
    clusters: int = 10_000  # most clusters
    pretrain: Mapping[str, Any]  # settings of pretrain.py that override the paper's
    # Steps per epoch of pre-training for each budget; 1,000 images per category if not given.
    steps: Mapping[Budget, int] = field(default_factory=dict)
    finetune: Mapping[str, Any]  # settings of finetune.py that override the paper's
    views: Mapping[str, View]
    main: tuple[str, ...]  # the views of most tables
    best: str  # the view for studies of single classes and images
    seeds: int  # of fine-tuning
    scored: int = 8  # images of each category that its score takes
    data: tuple[str, ...] | None = None  # to fine-tune on, instead of the paper's
    networks: Mapping[str, Network] = field(default_factory=dict)  # in addition to its own
    scenes: tuple[str, ...] = ()  # settings that override the original scenes'
    note: str = field(default="")

    def of(self, network: str | None) -> "Scale":
        """This scale with another one of its networks."""
        if network is None:
            return self
        own = self.networks[network]
        views = dict(self.views)
        if own.lrs is not None:
            for name, view in views.items():
                if not view.settings.get("probe"):
                    views[name] = replace(view, lrs=own.lrs[: len(view.lrs)])
        return replace(
            self,
            pretrain={**self.pretrain, **own.pretrain},
            finetune={**self.finetune, **own.finetune},
            views=views,
        )

    def view(self, name: str) -> View:
        """A view by its name, or by its role."""
        return self.views[{"main": self.main[0], "best": self.best}.get(name, name)]

    def pretraining(self, given: Mapping[str, Any], *, budget: Budget = "usual") -> dict[str, Any]:
        """The settings of pretrain.py at this scale, from a line's settings at the paper's."""
        given = {**given}
        given = {**USUAL, **read_presets(PRESETS, given.pop("preset", ())), **given}
        rendering = {
            name: given.pop(name) for name in ("size", "num_points", "finer") if name in given
        }
        settings = {**self.pretrain, **self.rendering(**rendering)}
        steps, share = self.steps.get(budget), given.pop("share", 1.0)
        batch_size = settings.get("batch_size", Settings.batch_size)
        if steps is None and (budget == "formulas" or share != 1):
            # The same for formulas with more categories, or with fewer images of each.
            steps = given["categories"] * 1000 // batch_size
        elif steps is None and given.get("instances", 1000) != 1000:  # the usual number
            settings["steps_per_epoch"] = given["categories"] * given["instances"] // batch_size
        if steps is not None:
            settings["steps_per_epoch"] = steps = max(1, round(share * steps))
        if self.most is not None:
            for name, most in (("categories", self.most), ("instances", self.most // 2)):
                if name in given:
                    given[name] = min(given[name], most)
            if "source" in given and given["source"] not in fdsl.PUBLISHED:
                given["source"] = given["source"].split("-")[0] + f"-{self.most}"
        if steps is not None and "instances" in given:
            # Too few visits for an instance to repeat: the run is the usual one.
            epochs = settings.get("epochs", Settings.epochs)
            visits = epochs * steps * batch_size / given["categories"]
            if visits <= given["instances"]:
                del given["instances"]
        if "clusters" in given:
            given["clusters"] = min(given["clusters"], self.clusters)
        settings = {**settings, **given}
        if settings.get("source", "").startswith("multi-fractal"):
            settings["set"] = (*self.scenes, *settings.get("set", ()))
        if settings.get("target") == "labels":
            settings = {name: value for name, value in settings.items() if name not in ONE_LABEL}
        if "source" in settings:  # drops settings that do not apply to the family
            foreign = set(fdsl.Rendering.names()) - set(_style(settings["source"]).names())
            settings = {name: value for name, value in settings.items() if name not in foreign}
        return settings

    def rendering(
        self, *, size: int = SIZE, num_points: int = POINTS, finer: float = 1.0
    ) -> dict[str, Any]:
        """The rendering at this scale, for these settings at the paper's."""
        side = round(self.size * size / SIZE * finer)
        crop = round(side * self.crop / self.size)
        return {
            "size": side,
            "crop": crop,
            "num_points": round(self.points * num_points / POINTS * finer**2),
            "margin": max(1, round(self.margin * finer)),
            "shrink": None if crop == self.sees else self.sees,
        }


_SMALL_NETWORK: dict[str, Any] = {
    "model": "resnet10s",
    "batch_size": 128,
    "schedule": "cosine",
}

_DECAY: dict[str, Any] = {"optimizer": "adamw", "weight_decay": 0.05}
_VIT_RATES = (1e-3, 3e-4, 3e-3, 1e-2)


def _vit(model: str) -> Network:
    """A small vision transformer, with a recipe that suits few images."""
    recipe = {"model": model, "lr": 1e-3, "label_smoothing": 0.1}
    return Network(pretrain={**_DECAY, **recipe}, finetune=_DECAY, lrs=_VIT_RATES)


# At small scales, the original objects on noise are a few pixels each, and nothing is learned.
_LARGE_OBJECTS = (
    *("min_scale=0.5", "max_scale=0.9", "max_objects=3", "overhang=0.2"),
    *("backdrop=black", "blur=0"),
)

SMOKE = Scale(
    note="a few steps of everything, to see that it runs; learns nothing",
    size=36,
    crop=32,
    sees=32,
    points=1000,
    margin=1,
    most=4,
    clusters=4,
    pretrain={**_SMALL_NETWORK, "batch_size": 8, "epochs": 1, "log_every": 1},
    steps={"usual": 2, "long": 3, "formulas": 2},
    networks={"vit": _vit("vit6s")},
    finetune={"size": 32, "batch_size": 8, "epochs": 1, "schedule": "cosine", "per_class": 2},
    views={
        "few labels": View(label="1 per class", settings={"per_class": 1}, lrs=(0.01, 0.02)),
        "some labels": View(label="2 per class", settings={}),
        "all labels": View(label="3 per class", settings={"per_class": 3}),
        "probe": View(label="probe, 5 per class", settings={"per_class": 5, "probe": True}),
        "curve": View(label="2 per class", settings={"epochs": 2}),
    },
    main=("some labels",),
    best="some labels",
    seeds=1,
    scored=2,
    data=("digits",),
    scenes=_LARGE_OBJECTS,
)

_FEW = {"label_fraction": 0.01, "batch_size": 50, "epochs": 30, "validate_every": 30}
_SOME = {"label_fraction": 0.1, "epochs": 10, "validate_every": 10}
_LONGER = {"label_fraction": 0.1, "epochs": 20, "validate_every": 20}
# As many images as the formulas have in pre-training.
_LONGEST = {"label_fraction": 0.1, "epochs": 200, "validate_every": 20}
_MIXED = {**_LONGEST, "mixup": 0.8, "cutmix": 1.0}  # as in pre-training
_ALL = {"epochs": 3, "validate_every": 3}
_RATES = (0.1, 0.03, 0.3, 1.0)

SMALL = Scale(
    note="small networks at 32×32, 256,000 images, a million of each formula, 3.2 million in the "
    "longer runs",
    size=72,
    crop=64,
    sees=32,
    points=16_000,
    margin=2,
    clusters=1000,
    pretrain={**_SMALL_NETWORK, "epochs": 10, "lr": 0.3, "warmup_steps": 100, "log_every": 100},
    steps={"usual": 200, "long": 2500, "formulas": 820},
    networks={"vit": _vit("vit6s")},
    finetune={"size": 32, "batch_size": 128, "schedule": "cosine", "warmup_steps": 20},
    views={
        "few labels": View(label="1%", settings=_FEW, lrs=_RATES, trials=3),
        "some labels": View(label="10%", settings=_SOME, lrs=_RATES),
        "all labels": View(label="all", settings=_ALL, lrs=_RATES, lrs_of="some labels"),
        "longer": View(label="10%, twice as long", settings=_LONGER, lrs=_RATES),
        "longest": View(label="10%, 200 epochs", settings=_LONGEST, lrs=(0.1,)),
        "mixed": View(label="10%, 200 epochs, mixed", settings=_MIXED, lrs=(0.1,)),
        "probe": View(label="10%, probe", settings={"label_fraction": 0.1, "probe": True}),
        "curve": View(label="10%", settings={**_SOME, "validate_every": 1}, lrs=(0.1,)),
    },
    main=("few labels", "probe"),
    best="some labels",
    seeds=3,
    data=("cifar10", "fashion-mnist"),
    scenes=_LARGE_OBJECTS,
)

GPU = Scale(
    note="a ResNet-18 and a DeiT-Ti at 64×64, for half an hour of an H100; has not been run",
    size=144,
    crop=128,
    sees=64,
    points=64_000,
    margin=3,
    pretrain={
        "model": "resnet18",
        "batch_size": 512,
        "schedule": "cosine",
        "epochs": 10,
        "lr": 0.4,
        "warmup_steps": 200,
        "log_every": 100,
    },
    steps={"usual": 205, "long": 1000, "formulas": 205},
    finetune={"size": 64, "batch_size": 128, "schedule": "cosine", "warmup_steps": 20},
    networks={"vit": _vit("timm:deit_tiny_patch16_224")},
    views=SMALL.views,
    main=SMALL.main,
    best=SMALL.best,
    seeds=3,
    data=SMALL.data,
    scenes=SMALL.scenes,
)

_FULL_RATES = (0.01, 0.03, 0.003)
# The lines say which formulas are augmented.
_AUGMENTATION = ("crop_scale", "flip", "rand_augment", "mixup", "cutmix", "erasing")
_DEIT = {
    name: value
    for name, value in read_presets(PRESETS, ["deit"]).items()
    if name not in _AUGMENTATION
}

FULL = Scale(
    note="the paper's: a ResNet-50 at 224×224, 90 epochs of a million images and more",
    size=SIZE,
    crop=CROP,
    sees=CROP,
    points=POINTS,
    margin=MARGIN,
    pretrain={"instances": 1000},
    finetune={},
    networks={
        "vit": Network(
            pretrain=_DEIT,
            finetune={**_DECAY, "batch_size": 768},
            lrs=_VIT_RATES,
        )
    },
    views={
        "few labels": View(label="1%", settings={"label_fraction": 0.01}, lrs=_FULL_RATES),
        "some labels": View(label="10%", settings={"label_fraction": 0.1}, lrs=_FULL_RATES),
        "all labels": View(label="all", settings={}, lrs=_FULL_RATES),
        "probe": View(label="all, probe", settings={"probe": True}),
        "curve": View(label="all", settings={}),
    },
    main=("all labels",),
    best="all labels",
    seeds=1,
)

SCALES = {"smoke": SMOKE, "small": SMALL, "gpu": GPU, "full": FULL}
