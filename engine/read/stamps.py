"""What tells whether images are still those that were read before."""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from .entry import Entry

if TYPE_CHECKING:
    from .source import Reader

StampKind = Literal["stat", "hash"]
STAMP_BYTES = 16


class Stamps:
    """One stamp of ``STAMP_BYTES`` bytes per image of a source, in its order, as they were when this was made."""

    def __init__(self, stamps: bytes) -> None:
        self._stamps = stamps

    def digest(self, count: int | None = None) -> str:
        """A hash of the first ``count`` images' stamps (default: of all)."""
        end = None if count is None else count * STAMP_BYTES
        return hashlib.sha256(memoryview(self._stamps)[:end]).hexdigest()


def stamp(entry: Entry, reader: "Reader", kind: StampKind) -> bytes:
    """A hash of an image's id and name with its size and time of change, or with its bytes."""
    digest = hashlib.blake2b(_name(entry), digest_size=STAMP_BYTES)
    if entry.problem is not None:
        digest.update(entry.problem.encode(errors="backslashreplace"))
    elif kind == "stat":
        digest.update(reader.state(entry).encode())
    else:
        try:
            digest.update(reader.read(entry))
        except OSError as error:
            digest.update(str(error.strerror or error).encode(errors="backslashreplace"))
    return digest.digest()


def names_digest(entries: Iterable[Entry]) -> str:
    """A hash of the entries' ids and names."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(_name(entry))
    return digest.hexdigest()


def _name(entry: Entry) -> bytes:
    return f"{entry.id}\0{entry.name}\n".encode(errors="backslashreplace")
