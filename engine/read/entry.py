"""One image as a source lists it, before its bytes are read."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

IdRule = Literal["stem", "path"]


@dataclass(frozen=True, slots=True)
class Entry:
    """An image's id, and where its bytes are.

    name: its path inside the source. row: its line in a list. offset, size, changed: its place in a tar and the time in its
    header. problem: why its bytes cannot be had, where that is known already.
    """

    id: str
    name: str
    row: int = 0
    offset: int = 0
    size: int = 0
    changed: float = 0
    problem: str | None = None


def shown(text: str) -> str:
    """A name as it stands in a message: on one line, and UTF-8 whatever its bytes are."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def image_id(name: str, rule: IdRule) -> str:
    """The id of the image with this name; bytes that are no UTF-8, and NUL, are written as escapes."""
    text = name if rule == "path" else PurePosixPath(name).stem
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace").replace("\0", "\\x00")
