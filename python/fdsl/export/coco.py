"""COCO's format, which detection frameworks read: images, and one file of annotations."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fdsl._files import writing_whole
from fdsl.export.layout import (
    Entry,
    Files,
    InStreamOrder,
    digits,
    hashed,
    read_folder,
    write_folder,
)
from fdsl.export.tar import Digest
from fdsl.targets import Objects, boxes

#: The annotations of all images; and of the images of one folder, which become part of them.
ANNOTATIONS = "annotations.json"

#: The extension that stands for an entry's part of the annotations.
SEGMENTS = "segments.json"


class Coco(InStreamOrder):
    """``images/000000/000000000.png``, …, and an ``annotations.json`` that ``finish`` writes.

    How many objects an image shows is known once it is rendered. A folder therefore keeps the
    annotations of its images, with numbers of its own, until all folders are complete.
    """

    unit = "folder"
    targets = ("boxes",)

    def check_target(self, target: str) -> None:
        pass  # masks are run lengths, which need no Pillow

    def extensions(self, target: str) -> tuple[str, ...]:
        return (SEGMENTS,)

    def target_files(self, objects: Objects, categories: Sequence[int], target: str) -> Files:
        return {SEGMENTS: json.dumps(segments(objects, categories)).encode()}

    def home(self, folder: Path) -> Path:
        return folder / "images"

    def name(self, unit: int) -> str:
        return f"{unit:0{digits(6, self.units())}d}"

    def metadata(self, entry: Entry) -> Files:
        return {}

    def write(self, path: Path, entries: Iterable[tuple[Entry, Files]]) -> None:
        def files() -> Iterator[tuple[str, bytes]]:
            described = []
            for entry, rendered in entries:
                yield f"{entry.key}.png", rendered["png"]
                size = png_size(rendered["png"])
                described.append((self._image(path.name, entry, size), rendered[SEGMENTS]))
            yield ANNOTATIONS, _part(described)

        write_folder(path, files())

    def read(self, path: Path, digest: Digest) -> Iterator[tuple[str, bytes]]:
        """Reads the images, and after each its annotations as ``target_files`` gives them."""
        return hashed(self._files(path), digest)

    def _files(self, path: Path) -> Iterator[tuple[str, bytes]]:
        content = (path / ANNOTATIONS).read_bytes()
        found, described = _segments_of(content), []
        entries = {f"{entry.key}.png": entry for entry in self.entries(int(path.name))}
        for name, file in read_folder(path):
            if name == ANNOTATIONS:
                continue
            yield name, file
            if entry := entries.get(name):
                part = found[int(entry.key)]
                described.append((self._image(path.name, entry, png_size(file)), part))
                yield f"{entry.key}.{SEGMENTS}", part
        if _part(described) != content:
            raise ValueError(f"{ANNOTATIONS} is not what fdsl writes for these images")

    def finish(self, folder: Path) -> None:
        home = self.home(folder)
        parts = [home / self.name(unit) / ANNOTATIONS for unit in range(self.units())]
        about = f"{len(self.family)} categories of {self.family.name}, seed {self.seed}"
        width = digits(5, len(self.family))  # named as class folders are
        header = {
            "info": {"description": about},
            "licenses": [],
            "categories": [
                {"id": category + 1, "name": f"{category:0{width}d}"}
                for category in range(len(self.family))
            ],
        }
        with writing_whole(folder / ANNOTATIONS) as file:
            file.write(f"{json.dumps(header)[:-1]}, ".encode())
            images = (json.dumps(one) for part in parts for one in _items(part, "images"))
            annotations = (one for part in parts for one in _items(part, "annotations"))
            pieces = _document(images, _numbered(annotations))
            file.writelines(piece.encode() for piece in pieces)

    def _image(self, unit: str, entry: Entry, size: tuple[int, int]) -> str:
        address = {"seed": self.seed, "category": entry.category, "index": entry.index}
        return json.dumps(
            {
                "id": int(entry.key),
                "file_name": f"{unit}/{entry.key}.png",
                "height": size[0],
                "width": size[1],
                "address": address,
            }
        )


def segments(objects: Objects, categories: Sequence[int]) -> list[dict[str, Any]]:
    """Returns the annotations of an image, all but their own number and the image's.

    Args:
        objects: uint16 (H, W), the number of the object that each pixel shows; 0 is background.
        categories: the category of each object.

    Returns:
        For each visible object its ``category_id``, which is category + 1; ``bbox``, left, top,
        width, height; ``area`` in pixels; ``segmentation``, COCO's uncompressed run lengths; and
        ``iscrowd``, 0.

    >>> segments(np.array([[0, 2], [2, 2]], np.uint16), [5, 1])[0]["segmentation"]
    {'size': [2, 2], 'counts': [1, 3]}
    """
    found = boxes(objects, categories)
    corners = found["boxes"].astype(np.int64).tolist()
    return [
        {
            "category_id": label,
            "bbox": [left, top, right - left, bottom - top],
            "area": int(mask.sum()),
            "segmentation": {"size": list(objects.shape), "counts": run_lengths(mask)},
            "iscrowd": 0,
        }
        for (left, top, right, bottom), label, mask in zip(
            corners, found["labels"].tolist(), found["masks"], strict=True
        )
    ]


def run_lengths(mask: npt.NDArray[np.uint8]) -> list[int]:
    """Returns COCO's run-length encoding of a mask: the lengths of the runs of zeros, ones, zeros,
    …, in column-major order.

    >>> run_lengths(np.array([[1, 0], [1, 1]], np.uint8))
    [0, 2, 1, 1]
    """
    pixels = mask.T.reshape(-1)
    borders = np.flatnonzero(np.diff(pixels)) + 1
    lengths: list[int] = np.diff(np.concatenate(([0], borders, [len(pixels)]))).tolist()
    return [0, *lengths] if pixels[0] else lengths


def png_size(content: bytes) -> tuple[int, int]:
    """Returns the height and width that a PNG file names.

    Raises:
        ValueError: it ends before them.
    """
    if len(content) < 24:
        raise ValueError("a PNG file ends in its header")
    width, height = struct.unpack_from(">II", content, 16)
    return height, width


def _part(described: Iterable[tuple[str, bytes]]) -> bytes:
    """Returns the annotations of a folder: of each image its line, and its segments."""
    images: list[str] = []
    annotations: list[dict[str, Any]] = []
    for image, found in described:
        images.append(image)
        owner = {"image_id": json.loads(image)["id"]}
        annotations += [{"id": 0, **owner, **one} for one in json.loads(found)]
    return f"{{{''.join(_document(images, _numbered(annotations)))}".encode()


def _segments_of(content: bytes) -> dict[int, bytes]:
    """Returns the segments of each image of a folder, by the image's number.

    Raises:
        ValueError: they have another form.
    """
    by_image: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    try:
        for one in json.loads(content)["annotations"]:
            number = one.pop("image_id")
            del one["id"]
            by_image[number].append(one)
    except (TypeError, AttributeError, KeyError, RecursionError, ValueError) as error:
        raise ValueError(f"{ANNOTATIONS} has no annotations: {error!r}") from None
    empty = json.dumps([]).encode()
    found = {number: json.dumps(some).encode() for number, some in by_image.items()}
    return defaultdict(lambda: empty, found)


def _document(images: Iterable[str], annotations: Iterable[str]) -> Iterator[str]:
    """Yields the text of both lists, an item per line, up to the end of the file."""
    yield '"images": [\n'
    yield from _joined(images)
    yield '\n], "annotations": [\n'
    yield from _joined(annotations)
    yield "\n]}\n"


def _joined(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f",\n{line}" if number else line


def _numbered(annotations: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Numbers annotations from 1: pycocotools treats the id 0 as "no match"."""
    for number, one in enumerate(annotations, start=1):
        yield json.dumps({**one, "id": number})


def _items(part: Path, name: str) -> list[dict[str, Any]]:
    """Reads the images or the annotations of a folder."""
    items: list[dict[str, Any]] = json.loads(part.read_bytes())[name]
    return items
