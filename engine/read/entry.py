"""One image as a source lists it, before its bytes are read."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

EMPTY = "tar or Parquet file without images"
"""The kind by which such files are counted among what is ignored."""
IdRule = Literal["stem", "path", "key"]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The JSON beside an image in a tar: its name, the place of its bytes, and why they cannot be had, where that is known."""

    name: str
    offset: int = 0
    size: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An image's id, and where its bytes are.

    name: its path inside the source. row: its line in a list. offset, size, changed: its place in a tar and the time in its
    header; in a Parquet file offset is its row. file: where a source has several files that hold many, the number of its one.
    problem: why its bytes cannot be had, where that is known already. sidecar: the JSON beside it in a tar.
    """

    id: str
    name: str
    row: int = 0
    offset: int = 0
    size: int = 0
    changed: float = 0
    problem: str | None = None
    file: int = 0
    sidecar: Sidecar | None = None


def shown(text: str) -> str:
    """A name as it stands in a message: on one line, and UTF-8 whatever its bytes are."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def image_id(name: str, rule: IdRule) -> str:
    """The id of the image with this name; bytes that are no UTF-8, and NUL, are written as escapes.

    "key" is WebDataset's: the path up to the first dot of the file's name.
    """
    folder, slash, file = name.rpartition("/")
    text = {"path": name, "stem": PurePosixPath(name).stem, "key": folder + slash + file.partition(".")[0]}[rule]
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace").replace("\0", "\\x00")


def unreadable(name: str, number: int, problem: str) -> Entry:
    """A whole file of many images, as one that cannot be read."""
    return Entry(image_id(name, "path"), name, problem=f"{shown(name)}: {problem}", file=number)
