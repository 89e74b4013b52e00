"""What the catalogue says about references and segments, each with a seal: a crc32 over what it says.

SQLite finds a damaged page only where its structure suffers; the seals find a changed letter of an id as well. What a
record says about places has no part in its seal, since the checksums of the rows themselves tell a wrong place.
"""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

WHOLE = "whole"
"""The view that every reference has: the picture as it is."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference as a user sees it.

    ``sha256`` (hexadecimal) and ``size`` are of the image's bytes, None where they are not known. ``views`` name its rows,
    ``blobs`` the kinds of what else is kept of it. ``number``: which the collection gives to no other reference, ever; it says
    when a reference was added, not what it is, so that equal references may differ in it.
    """

    id: str
    sha256: str | None
    size: int | None
    metadata: dict[str, Any]
    views: tuple[str, ...]
    blobs: tuple[str, ...]
    number: int = field(compare=False)


class Record(NamedTuple):
    """One row of the table ``reference``, without its seal. Texts are as they are stored."""

    number: int
    id: str
    sha256: str | None
    size: int | None
    metadata: str
    views: str
    blobs: str
    segment: int
    row: int
    checksums: bytes

    def seal(self) -> int:
        text = "\0".join(map(str, self[:7])) + f"\0{self.checksums!r}"
        return zlib.crc32(text.encode())

    def view_names(self) -> tuple[str, ...]:
        return tuple(self.views.split(","))

    def blob_kinds(self) -> tuple[str, ...]:
        return tuple(self.blobs.split(",")) if self.blobs else ()

    def reference(self) -> Reference:
        metadata = json.loads(self.metadata)
        views, blobs = self.view_names(), self.blob_kinds()
        return Reference(self.id, self.sha256, self.size, metadata, views, blobs, self.number)


class BlobRecord(NamedTuple):
    """One row of the table ``blob``: where the bytes of one kind are that belong to the reference of a number."""

    reference: int
    kind: str
    version: int
    segment: int
    offset: int
    length: int
    checksum: int

    def expected(self, data: bytes) -> int:
        """crc32 of a blob's bytes and of what the catalogue says about it."""
        return blob_checksum(self.reference, self.kind, self.version, data)


class Segment(NamedTuple):
    """A segment file: ``length`` bytes of it count, header included; ``live`` of them belong to a reference."""

    number: int
    kind: str
    length: int
    live: int

    def seal(self) -> int:
        return zlib.crc32("\0".join(map(str, self)).encode())


def property_seal(name: str, value: str) -> int:
    return zlib.crc32(f"{name}\0{value}".encode())


def blob_checksum(reference: int, kind: str, version: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(f"{reference}\0{kind}\0{version}".encode()))


def behind(prefix: str) -> str:
    """The first text, by code points, behind all that begin with a prefix; "" where there is none."""
    trimmed = prefix.rstrip(chr(0x10FFFF))
    following = ord(trimmed[-1]) + 1 if trimmed else 0
    return trimmed[:-1] + chr(0xE000 if following == 0xD800 else following) if trimmed else ""
