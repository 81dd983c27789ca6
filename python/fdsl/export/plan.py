"""The plan of an export: the settings that all processes writing to it share."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

from fdsl import _core
from fdsl._checks import checked_positive, checked_seed, checked_type, whole_or_none
from fdsl._files import write_once
from fdsl.export.coco import Coco
from fdsl.export.layout import (
    LAYOUT_FORMAT,
    ClassFolders,
    Layout,
    ReleasedFolders,
    WebDataset,
)
from fdsl.families import Family
from fdsl.frame import Frame
from fdsl.targets import checked_target

#: The file beside the shards that holds the plan.
PLAN = "plan.json"

#: By the names that ``fdsl export --layout`` takes.
LAYOUTS: dict[str, type[Layout]] = {
    "webdataset": WebDataset,
    "folders": ClassFolders,
    "released": ReleasedFolders,
    "coco": Coco,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The categories, how they are rendered, and how the images are divided into files."""

    family: Family
    rendering: Frame
    seed: int
    #: Images per category.
    instances: int
    #: A name in ``LAYOUTS``.
    layout: str
    #: Images per shard or folder.
    shard_size: int
    #: What each image comes with; a name in ``fdsl.targets.TARGETS``.
    target: str = "label"
    #: The version of fdsl that started the export.
    version: str = _core.__version__

    def __post_init__(self) -> None:
        checked_type("family", self.family, Family)
        checked_type("rendering", self.rendering, Frame)
        object.__setattr__(self, "seed", checked_seed(self.seed))  # Python's integers, for JSON
        for name in ("instances", "shard_size"):
            object.__setattr__(self, name, checked_positive(name, getattr(self, name)))
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {self.layout!r}")
        checked_target(self.family, self.target)
        if self.target not in self.files.targets:
            holds = " or ".join(map(repr, self.files.targets))
            raise ValueError(f"the layout {self.layout} holds {holds}, got target={self.target!r}")
        self.files.check_target(self.target)
        self.files.check_counts()

    @functools.cached_property
    def files(self) -> Layout:
        """How the images are divided into files."""
        return LAYOUTS[self.layout](self.family, self.seed, self.instances, self.shard_size)

    @property
    def categories_file(self) -> str:
        """The name of the file that holds the categories; it contains their digest."""
        return f"categories-{self.family.digest()[:16]}.npz"

    def settings(self) -> dict[str, Any]:
        """Returns everything that the bytes depend on, and the version, for JSON."""
        return {
            "layout": self.layout,
            "shard_size": self.shard_size,
            "family": self.family.name,
            "categories": len(self.family),
            "categories_sha256": self.family.digest(),
            "categories_key": self.family.key(),  # also knows where each category ends
            "instances": self.instances,
            "seed": self.seed,
            "rendering": self.rendering.to_dict(),
            "target": self.target,
            "fdsl": self.version,
            "format": self.family.format,
            "layout_format": LAYOUT_FORMAT,
        }

    def difference(self, found: dict[str, Any]) -> str | None:
        """Returns the first difference to another plan or ``metadata.json``, or None."""
        # Settings that a file lacks are newer than the file, and have their defaults.
        here = self.settings()
        for name in ("layout", "family"):  # on which the other settings depend
            if found.get(name) != here[name]:
                return f"{name} is {found.get(name)!r} there and {here[name]!r} here"
        older = {"layout_format": 1, "categories_key": here["categories_key"], "target": "label"}
        found = {**older, **found}
        if isinstance(found.get("rendering"), dict):
            try:
                # Also reads the first releases, whose settings had other names.
                found["rendering"] = type(self.rendering).from_dict(found["rendering"]).to_dict()
            except (TypeError, ValueError) as error:
                return f"its rendering cannot be read: {error}"
        for name, ours in here.items():
            there = found.get(name)
            # The version is for people to read; the format numbers decide whether two versions
            # write the same bytes.
            if name == "fdsl" or there == ours:
                continue
            if isinstance(there, dict) and isinstance(ours, dict):  # the rendering
                differing = [one for one in ours if there.get(one) != ours[one]]
                there, ours = ({one: each.get(one) for one in differing} for each in (there, ours))
            return f"{name} is {there!r} there and {ours!r} here"
        return None

    def claim(self, folder: Path) -> None:
        """Writes the plan to the folder, or checks that the folder already has this one.

        Raises:
            ValueError: the folder holds an export with other settings.
        """
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / PLAN
        if not file.exists():
            self._refuse_others(folder)
            write_once(file, (json.dumps(self.settings(), indent=1) + "\n").encode())
        self.confirm(folder)  # another process may have been first
        categories = folder / self.categories_file
        if categories.exists():
            try:
                Family.load(categories)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"{categories} is damaged: delete it, and export again ({error})"
                ) from None
        else:
            self.family.save(categories)

    def confirm(self, folder: Path) -> None:
        """Checks that the folder still has this plan.

        Raises:
            FileNotFoundError: it has no plan.
            ValueError: it has another plan.
        """
        try:
            found = _read(folder / PLAN)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{folder / PLAN} is gone: another program is removing files of this export"
            ) from None
        if difference := self.difference(found):
            raise ValueError(
                f"{folder} holds an export with other settings: {difference}; choose another folder"
            )

    def _refuse_others(self, folder: Path) -> None:
        """Raises ValueError if a folder without a plan has files with the names of this export."""
        home = self.files.home(folder)
        there = {entry.name for entry in home.iterdir()} if home.is_dir() else set()
        if (folder / PLAN).exists():  # another process started the same export
            return
        names = map(self.files.name, range(self.files.units() if there else 0))
        if mixed := next((name for name in names if name in there), None):
            raise ValueError(f"{folder} holds a {mixed} but no {PLAN}: choose another folder")

    @classmethod
    def of(cls, folder: Path) -> Plan:
        """Reads the plan that ``claim`` wrote.

        Raises:
            FileNotFoundError: there is no export in the folder.
            ValueError: the plan cannot be read, or is from a version that writes different bytes.
        """
        if not (folder / PLAN).exists():
            raise FileNotFoundError(f"no export in {folder}: it has no {PLAN}")
        found = _read(folder / PLAN)
        if "categories_sha256" not in found:
            raise ValueError(f"{folder / PLAN} lacks 'categories_sha256'")
        family = Family.load(folder / f"categories-{str(found['categories_sha256'])[:16]}.npz")
        try:
            plan = cls(
                family=family,
                rendering=family.style.from_dict(found["rendering"]),
                version=str(found["fdsl"]),
                target=found.get("target", "label"),
                **{name: found[name] for name in ("seed", "instances", "layout", "shard_size")},
            )
        except KeyError as error:
            raise ValueError(f"{folder / PLAN} lacks {error}") from None
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{folder / PLAN} is not the plan of an export: {error}") from None
        if difference := plan.difference(found):
            raise ValueError(f"{folder / PLAN} cannot be continued by this version: {difference}")
        return plan


def planned_shard_size(folder: Path, layout: str) -> int | None:
    """Returns the shard size of the export in a folder, if there is one in this layout."""
    try:
        found = _read(folder / PLAN)
    except (OSError, ValueError):  # ``claim`` reports it
        return None
    size = whole_or_none(found.get("shard_size"))
    return size if found.get("layout") == layout and size is not None and size > 0 else None


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file} is not the plan of an export")
    return found
