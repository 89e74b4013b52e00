"""The parts of a source in one folder, each a descriptor file with its place among them, and the whole they make."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..arguments import file_path, whole_number
from ..errors import ComparisonError, StoreError
from .descriptors import read_attributes
from .merge import SHARD, Merged, merge_files

_NAME = re.compile(r"part-(\d{5,})-of-(\d{5,})\.h5")
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Shard:
    """The ``i``-th (from 0) of ``n`` parts. Raises: ValueError unless 0 <= i < n; TypeError for what is no whole number."""

    i: int
    n: int

    def __post_init__(self) -> None:
        whole_number("n", self.n, 1)
        whole_number("i", self.i, 0, self.n - 1)

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Of "i/n". Raises: ValueError."""
        found = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
        if found is None:
            raise ValueError(f"a shard is i/n, 0/16 for the first of 16, not {text!r}")
        i, n = map(int, found.groups())
        if i >= n:
            raise ValueError(f"a shard is i/n with i from 0 to n - 1, not {text!r}")
        return cls(i, n)

    def __str__(self) -> str:
        return f"{self.i}/{self.n}"

    @property
    def file(self) -> str:
        """The name of its descriptor file."""
        return f"part-{self.i:05d}-of-{self.n:05d}.h5"

    @property
    def status_file(self) -> str:
        """The name of the file that says how it went."""
        return self.file.removesuffix(".h5") + ".json"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a part was cut from: the hash of the whole source's ids and names, its ``images``, and what else rows depend on."""

    source: str
    images: int
    options: Mapping[str, str | int]

    def difference(self, other: "Origin") -> str:
        """In what two parts' origins differ; empty where they go together."""
        if (self.source, self.images) != (other.source, other.images):
            return f"different sources, of {self.images} images and of {other.images}, or of other names"
        names = sorted(self.options.keys() | other.options.keys())
        values = ((name, self.options.get(name, "not told"), other.options.get(name, "not told")) for name in names)
        return ", ".join(f"different {name}: {one}, {two}" for name, one, two in values if one != two)

    def attribute(self, shard: Shard) -> dict[str, str]:
        """The attribute by which a part's file says so."""
        about = {"shard": str(shard), "source": self.source, "images": self.images, "options": dict(self.options)}
        return {SHARD: json.dumps(about, sort_keys=True)}


def read_shard(path: Path) -> tuple[Shard, Origin] | None:
    """What a file says of its place among parts; None where there is no file, or it is no part. Raises: StoreError."""
    attributes = read_attributes(path)
    text = None if attributes is None else attributes.get(SHARD)
    if text is None:
        return None
    try:
        about = json.loads(str(text))
        options = {str(name): value for name, value in about["options"].items()}
        return Shard.parse(about["shard"]), Origin(str(about["source"]), int(about["images"]), options)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise StoreError(f"{path}: what it says of its place among parts cannot be read") from None


def merge_parts(folder: str | os.PathLike[str], output: str | os.PathLike[str]) -> Merged:
    """Make one descriptor file of all the parts in a folder: that which a single run over the source would have made.

    They are the same bytes in ``descriptors``, ``ids``, ``failed``, ``damaged`` and ``views``, and the same attributes, but for
    ``run``. Every part must be there, whole, of one source and made in one way, and every image of the source in one of them.
    Raises: StoreError, ComparisonError (which is one) naming the files; ValueError or TypeError for what is no path.
    """
    folder, output = file_path("folder", folder), file_path("output", output)
    paths, images = check_parts(folder)
    return merge_files(paths, output, images=images)


def check_parts(folder: Path) -> tuple[list[Path], int]:
    """The files of all parts in their order, of one source and made in one way, and how many images the source has.

    Raises: StoreError, ComparisonError naming the files.
    """
    paths = part_files(folder)
    expected = None
    for i, path in enumerate(paths):
        found = read_shard(path)
        if found is None:
            raise StoreError(
                f"{path}: not a readable part; delete it, and embed it again with --shard {i}/{len(paths)}"
            )
        shard, origin = found
        if shard.file != path.name:
            raise StoreError(f"{path}: holds part {shard}, not the one it is named after")
        expected = expected or origin
        if difference := expected.difference(origin):
            raise ComparisonError(f"{paths[0]} and {path} do not belong together: {difference}")
    assert expected is not None
    return paths, expected.images


def part_files(folder: Path) -> list[Path]:
    """The files of all parts, in their order. Raises: StoreError unless each is there, and none of another number of parts."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - bare names
    except OSError as error:
        raise StoreError(f"{folder}: cannot be listed: {error.strerror}") from None
    found = {name: match for name in names if (match := _NAME.fullmatch(name))}
    if not found:
        raise StoreError(f"{folder}: no parts in it, which `embed --shard` makes (part-00000-of-00016.h5, ...)")
    first, n = next(iter(found)), int(next(iter(found.values()))[2])
    if other := next((name for name, match in found.items() if int(match[2]) != n), None):
        raise StoreError(f"{folder}: parts of different numbers of parts: {first} and {other}")
    paths = [folder / Shard(i, n).file for i in range(n)]
    if missing := [path for path in paths if path.name not in found]:
        begun = [path for path in missing if path.name + _PARTIAL in names]
        raise StoreError(
            f"{folder}: {len(missing)} of {n} parts are missing, the first is {missing[0].name}"
            + (f" ({len(begun)} of them begun; the same command goes on)" if begun else "")
        )
    return paths
