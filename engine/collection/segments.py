"""Segment files: append-only, a header of 64 bytes and then rows of one width, or blobs one after another.

Nothing in a file says where it ends: the catalogue does. What lies behind that is of a change that never came to its end, and
is cut off. Checksums are in the catalogue too.
"""

import os
import re
import struct
from collections.abc import Iterable
from mmap import ACCESS_READ, MADV_DONTNEED, mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CollectionError
from .records import Segment

DESCRIPTORS, BLOBS = "descriptors", "blobs"
HEADER_BYTES = 64
SEGMENT_BYTES = 256 << 20
"""A segment is not begun anew before it has this many; what is compacted is rewritten by whole segments."""

_HEADER = struct.Struct("<8s16sQQ24x")
_NAME = re.compile(rf"(?:{DESCRIPTORS}|{BLOBS})-\d{{6,}}\.segment")


class SegmentFiles:
    """The segment files of one folder. width: bytes of a descriptor row."""

    def __init__(self, folder: Path, width: int) -> None:
        self._folder = folder
        self._widths = {DESCRIPTORS: width, BLOBS: 1}
        self._maps: dict[int, tuple[mmap, NDArray[np.uint8]]] = {}

    def path(self, number: int, kind: str) -> Path:
        return self._folder / f"{kind}-{number:06d}.segment"

    def create(self, number: int, kind: str) -> Segment:
        """A new file with its header. Raises: OSError."""
        descriptor = os.open(self.path(number, kind), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._header(number, kind))
        return Segment(number, kind, HEADER_BYTES, 0)

    def append(self, segment: Segment, data: bytes) -> None:
        """Write behind what counts of a segment. Raises: OSError."""
        with self.path(segment.number, segment.kind).open("r+b", buffering=0) as file:
            file.seek(segment.length)
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]

    def flush(self, segments: Iterable[Segment]) -> None:
        """Wait until these files and their names are on the disk. Raises: OSError."""
        for segment in segments:
            with self.path(segment.number, segment.kind).open("rb") as file:
                os.fsync(file.fileno())
        flush_folder(self._folder)

    def cut(self, segments: Iterable[Segment]) -> None:
        """Cut off, and remove, what these segments do not count. Raises: CollectionError, OSError."""
        lengths = {self.path(segment.number, segment.kind): segment.length for segment in segments}
        for path in sorted(self._folder.iterdir()):
            if not _NAME.fullmatch(path.name):
                continue
            if path not in lengths:
                path.unlink()
            elif path.stat().st_size > lengths[path]:
                os.truncate(path, lengths[path])

    def map(self, segment: Segment) -> NDArray[np.uint8]:
        """What counts of a segment, uint8 [length], memory-mapped and read-only.

        Raises: FileNotFoundError when it has been compacted away; CollectionError when it is damaged.
        """
        known = self._maps.get(segment.number)
        if known is not None and len(known[1]) >= segment.length:
            return known[1]
        path = self.path(segment.number, segment.kind)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < segment.length:
                raise CollectionError(f"{path}: is cut off: {size} bytes of {segment.length}; restore a backup")
            if file.read(HEADER_BYTES) != self._header(segment.number, segment.kind):
                raise CollectionError(f"{path}: its header is damaged; restore a backup")
            pages = mmap(file.fileno(), segment.length, access=ACCESS_READ)
        mapped = np.frombuffer(pages, np.uint8)
        self._maps[segment.number] = pages, mapped
        return mapped

    def release_pages(self) -> None:
        """Let go of the memory that reading the maps has taken; what is read again comes from the file again."""
        for pages, _ in self._maps.values():
            pages.madvise(MADV_DONTNEED)

    def forget(self, alive: Iterable[int]) -> None:
        """Let go of the maps of all segments but these."""
        for number in self._maps.keys() - set(alive):
            del self._maps[number]

    def _header(self, number: int, kind: str) -> bytes:
        return _HEADER.pack(b"CTSEG\0\0\1", kind.encode(), number, self._widths[kind])


def is_segment_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk. Raises: OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
