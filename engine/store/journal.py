"""The journal of an unfinished run: ``F.h5.partial``, beside the file it will become.

HDF5 files do not survive a kill in the middle of a write, so a run appends its rows to a plain log and turns it into HDF5 at
the end. The first line is JSON and says what run this is; slices follow, each
``<magic, length of the list, length of the rows, crc32 of both>`` + JSON list of items + float32 rows, flushed to the disk one
by one. A slice that was cut off fails its checksum and is dropped on resume, with all that follows it.
"""

import fcntl
import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import ResumeError, StoreError
from .atomic import reason

_HEAD = struct.Struct("<4sIQI")
_MAGIC = b"CTJ1"


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of images in the order of the source: ids with None (embedded) or the reason they failed, and the rows [n, D]."""

    items: list[tuple[str, str | None]]
    rows: NDArray[np.float32]


class Journal:
    """Appends slices durably and reads them back. Holds an exclusive lock on its file until closed.

    identity: what must be equal for a run to be resumed, a flat JSON object.
    Attributes: ``images`` (items recorded), ``embedded`` (rows recorded).
    Raises: StoreError when the file cannot be written or another run holds it, ResumeError when it is of another run.
    """

    def __init__(self, output: Path, identity: dict[str, str | int], dimension: int, *, resume: bool) -> None:
        self.path = output.with_name(output.name + ".partial")
        self.dimension = dimension
        self.images = 0
        self.embedded = 0
        try:
            self._file: BinaryIO = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        except OSError as error:
            raise StoreError(f"{output}: cannot be written: {reason(error)}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise StoreError(f"{output}: another run is writing it") from None
        header = (json.dumps(identity, sort_keys=True) + "\n").encode()
        if not (resume and self._recover(header)):
            self._start(header)

    def append(self, part: Slice) -> None:
        """Add a slice and wait until it is on the disk. Raises: StoreError."""
        items = json.dumps(part.items).encode()
        rows = np.ascontiguousarray(part.rows, np.float32).tobytes()
        head = _HEAD.pack(_MAGIC, len(items), len(rows), zlib.crc32(rows, zlib.crc32(items)))
        end = self._file.tell()
        try:
            self._write(head + items + rows)
        except StoreError:
            self._file.truncate(end)
            raise
        self.images += len(part.items)
        self.embedded += len(part.rows)

    def slices(self) -> Iterator[Slice]:
        """All slices from the first; reading leaves the position at the end."""
        self._file.seek(0)
        _read_line(self._file)
        while (part := self._read_slice()) is not None:
            yield part

    def close(self) -> None:
        self._file.close()

    def remove(self) -> None:
        """Close and delete, once its contents are elsewhere."""
        self.path.unlink(missing_ok=True)
        self.close()

    def _start(self, header: bytes) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._write(header)

    def _recover(self, header: bytes) -> bool:
        first = _read_line(self._file)
        if not first.endswith(b"\n"):
            return False  # killed before the header was whole: nothing to keep
        if first != header:
            raise ResumeError(
                f"{self.path} is from another run ({_difference(first, header)}); "
                "delete it, or leave out --resume to start over"
            )
        end = self._file.tell()
        while (part := self._read_slice()) is not None:
            self.images += len(part.items)
            self.embedded += len(part.rows)
            end = self._file.tell()
        self._file.seek(end)
        self._file.truncate()
        return True

    def _read_slice(self) -> Slice | None:
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        magic, item_bytes, row_bytes, checksum = _HEAD.unpack(head)
        remaining = os.fstat(self._file.fileno()).st_size - self._file.tell()
        if magic != _MAGIC or item_bytes + row_bytes > remaining:
            return None
        items, rows = self._file.read(item_bytes), self._file.read(row_bytes)
        if zlib.crc32(rows, zlib.crc32(items)) != checksum:
            return None
        pairs = [(str(name), why) for name, why in json.loads(items)]
        return Slice(pairs, np.frombuffer(rows, np.float32).reshape(-1, self.dimension))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {reason(error)}") from error


def _read_line(file: BinaryIO) -> bytes:
    start = file.tell()
    line = file.read(1 << 16).partition(b"\n")
    file.seek(start + len(line[0]) + len(line[1]))
    return line[0] + line[1]


def _difference(first: bytes, second: bytes) -> str:
    try:
        old, new = json.loads(first), json.loads(second)
        return "different " + ", ".join(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)))
    except (ValueError, AttributeError):
        return "not a journal"
