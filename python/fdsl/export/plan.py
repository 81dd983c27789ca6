"""What an export holds: the same for every process that writes to it."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

from fdsl import _core
from fdsl._files import write_whole
from fdsl.export.layout import LAYOUTS, Layout
from fdsl.formulas import Family
from fdsl.rendering import Rendering

#: Names of the files beside the shards.
PLAN, CATEGORIES = "plan.json", "categories.npz"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Categories, how they are drawn, and how the pictures are spread over files."""

    family: Family
    rendering: Rendering
    seed: int
    #: Pictures of each category.
    instances: int
    #: A name in ``LAYOUTS``.
    layout: str
    #: Pictures a shard, or a folder.
    shard_size: int

    @functools.cached_property
    def files(self) -> Layout:
        """How the pictures are spread over files."""
        return LAYOUTS[self.layout](self.family, self.seed, self.instances, self.shard_size)

    def settings(self) -> dict[str, Any]:
        """Everything that the bytes depend on, as JSON can hold it."""
        return {
            "layout": self.layout,
            "shard_size": self.shard_size,
            "family": self.family.name,
            "categories": len(self.family),
            "categories_sha256": self.family.digest(),
            "instances": self.instances,
            "seed": self.seed,
            "rendering": self.rendering.to_dict(),
            "fdsl": _core.__version__,
            "format": _core.FORMAT,
        }

    def claim(self, folder: Path) -> None:
        """Writes the plan to the folder, or makes sure that the folder already has this one.

        Raises:
            ValueError: the folder holds an export with other settings.
        """
        folder.mkdir(parents=True, exist_ok=True)
        settings, file = self.settings(), folder / PLAN
        if file.exists():
            found = _read(file)
            for name in (name for name in settings if settings[name] != found.get(name)):
                raise ValueError(
                    f"{folder} holds an export with other settings: {name} is {found.get(name)!r} "
                    f"there and {settings[name]!r} here; choose another folder"
                )
        else:
            self.family.save(folder / CATEGORIES)
            write_whole(file, (json.dumps(settings, indent=1) + "\n").encode())

    @classmethod
    def of(cls, folder: Path) -> Plan:
        """Reads the plan that ``claim`` wrote.

        Raises:
            FileNotFoundError: there is no export in the folder.
            ValueError: the plan cannot be read, or was made by another version.
        """
        if not (folder / PLAN).exists():
            raise FileNotFoundError(f"no export in {folder}: it has no {PLAN}")
        found = _read(folder / PLAN)
        try:
            plan = cls(
                family=Family.load(folder / CATEGORIES),
                rendering=Rendering.from_dict(found["rendering"]),
                **{name: found[name] for name in ("seed", "instances", "layout", "shard_size")},
            )
            settings = plan.settings()
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder / PLAN} is not a plan of an export: {error}") from None
        for name in (name for name in settings if settings[name] != found.get(name)):
            raise ValueError(
                f"{folder / PLAN} does not fit what is here: {name} is {found.get(name)!r} there "
                f"and {settings[name]!r} here"
            )
        return plan


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file} is not a plan of an export")
    return found
