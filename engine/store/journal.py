"""The journal of an unfinished run: ``F.h5.partial``, beside the file it will become.

HDF5 files do not survive a kill in the middle of a write, so a run appends its rows to a plain log and turns it into HDF5 at
the end. The first line is a mark and JSON that says what run this is; slices follow, each
``<magic, length of the list, length of the rows, crc32 of both>`` + JSON [stamp, items, damage] + float32 rows, flushed to
the disk one by one. Where images give several rows, the list has a fourth part, the labels of each embedded image's rows.
A slice that was cut off fails its checksum and is dropped on resume, with all that follows it.
"""

import errno
import fcntl
import json
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import ResumeError, StoreError
from .atomic import reason

_HEAD = struct.Struct("<4sIQI")
_MAGIC = b"CTJ2"
_MARK = b"copytrace journal "


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of images in the order of the source: ids with None (embedded) or the reason they failed, and the rows [n, D].

    damaged: (id, reason) of those among them, embedded or not, whose pixels are not what they were. stamp: what the source was
    like up to and with these images, by which they are recognised on resume. views: for each embedded image the labels of its
    rows; empty where every one has a single row, the whole picture's.
    """

    items: list[tuple[str, str | None]]
    rows: NDArray[np.float32]
    damaged: list[tuple[str, str]] = field(default_factory=list)
    stamp: str = ""
    views: list[list[str]] = field(default_factory=list)

    def row_ids(self) -> list[str]:
        """The id of each row's image."""
        embedded = [name for name, why in self.items if why is None]
        if not self.views:
            return embedded
        return [name for name, labels in zip(embedded, self.views, strict=True) for _ in labels]

    def row_labels(self) -> list[str]:
        """The label of each row; empty where there are none."""
        return [label for labels in self.views for label in labels]


class Journal:
    """Appends slices durably and reads them back. Holds an exclusive lock on its file until closed.

    identity: what must be equal for a run to be resumed, a flat JSON object.
    Attributes: ``images`` (items recorded), ``embedded`` (those with rows), ``rows``, ``stamp`` (that of the last slice).
    Raises: StoreError when the file cannot be written, another run holds it, or it is a link or no journal at all (then it is
    not touched); ResumeError when it is of another run or holds what no run writes.
    """

    def __init__(self, output: Path, identity: dict[str, str | int], dimension: int, *, resume: bool) -> None:
        self.path = output.with_name(output.name + ".partial")
        self.dimension = dimension
        self.images = 0
        self.embedded = 0
        self.rows = 0
        self.stamp = ""
        self._file = _open_locked(self.path, output)
        try:
            header = _MARK + (json.dumps(identity, sort_keys=True) + "\n").encode()
            if not (resume and self._recover(header)):
                self._start(header)
        except BaseException:
            self._file.close()  # whoever keeps the error must not keep the lock as well
            raise

    def append(self, part: Slice) -> None:
        """Add a slice and wait until it is on the disk. Raises: StoreError."""
        items = json.dumps([part.stamp, part.items, part.damaged, *([part.views] if part.views else [])]).encode()
        rows = np.ascontiguousarray(part.rows, np.float32).tobytes()
        head = _HEAD.pack(_MAGIC, len(items), len(rows), zlib.crc32(rows, zlib.crc32(items)))
        end = self._file.tell()
        try:
            self._write(head + items + rows)
        except StoreError:
            self._file.truncate(end)
            raise
        self._count(part)

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
                f"{self.path} is from another run ({_difference(first, header)}); delete it to start over"
            )
        end = self._file.tell()
        while (part := self._read_slice()) is not None:
            self._count(part)
            end = self._file.tell()
        self._file.seek(end)
        self._file.truncate()
        return True

    def _count(self, part: Slice) -> None:
        self.images += len(part.items)
        self.embedded += sum(why is None for _, why in part.items)
        self.rows += len(part.rows)
        self.stamp = part.stamp

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
        try:
            return _parse(items, rows, self.dimension)
        except (ValueError, TypeError, RecursionError) as error:
            raise ResumeError(f"{self.path}: holds what no run writes ({error}); delete it to start over") from None

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {reason(error)}") from error


def begun_as(output: Path) -> dict[str, Any]:
    """The identity of the unfinished run to this file; empty where there is none, or it cannot be read."""
    try:
        path = output.with_name(output.name + ".partial")
        if path.is_file():  # a pipe would be waited for
            with path.open("rb") as file:
                identity = json.loads(_read_line(file).removeprefix(_MARK))
            return identity if isinstance(identity, dict) else {}
    except (OSError, ValueError, RecursionError):
        pass
    return {}


def _open_locked(path: Path, output: Path) -> BinaryIO:
    """The journal's file, made where there is none, held by this run alone. Raises: StoreError."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise StoreError(f"{path}: is a link, and is not touched; move it away") from None
            raise StoreError(f"{output}: cannot be written: {path.name}: {reason(error)}") from None
        file: BinaryIO = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
            _check_ours(file, path, status)
        except OSError:
            file.close()
            raise StoreError(f"{output}: another run is writing it") from None
        except BaseException:
            file.close()
            raise
        if status.st_nlink:
            return file
        file.close()  # the run that held it has just finished and removed it


def _check_ours(file: BinaryIO, path: Path, status: os.stat_result) -> None:
    """Raises: StoreError for anything that a run has not written itself."""
    if status.st_nlink > 1:
        raise StoreError(f"{path}: is a link, and is not touched; move it away")
    first = _read_line(file) if stat.S_ISREG(status.st_mode) else b"\n"
    begun = _MARK.startswith(first)  # by a run that was killed within its first line
    if not first.startswith(_MARK) and not begun:
        raise StoreError(f"{path}: is no journal of copytrace, and is not touched; move it away")
    file.seek(0)


def _parse(items: bytes, rows: bytes, dimension: int) -> Slice:
    """Raises: ValueError, TypeError or RecursionError for what no run writes."""
    stamp, listed, damages, *more = json.loads(items)
    pairs, damaged = ([(name, why) for name, why in part] for part in (listed, damages))
    if not isinstance(stamp, str) or not all(
        isinstance(name, str) and isinstance(why, str | None) for name, why in pairs
    ):
        raise ValueError("ids, reasons and stamps must be text")
    if not all(isinstance(name, str) and isinstance(why, str) for name, why in damaged):
        raise ValueError("ids and what is damaged must be text")
    values = np.frombuffer(rows, np.float32).reshape(-1, dimension)
    embedded = sum(why is None for _, why in pairs)
    views = _parse_views(more, embedded)
    expected = sum(map(len, views)) if views else embedded
    if len(values) != expected:
        raise ValueError(f"{len(values)} rows instead of {expected} for {embedded} images")
    if not np.isfinite(values).all():
        raise ValueError("rows that are not finite")
    return Slice(pairs, values, damaged, stamp, views)


def _parse_views(more: list[object], embedded: int) -> list[list[str]]:
    """Raises: ValueError for what no run writes."""
    if not more:
        return []
    (views,) = more
    if not isinstance(views, list) or len(views) != embedded:
        raise ValueError(f"no labels for the rows of {embedded} images")
    for labels in views:
        if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
            raise ValueError("labels of rows must be text")
        if len(set(labels)) < len(labels):
            raise ValueError("two rows of an image have one label")
    return views


def _read_line(file: BinaryIO) -> bytes:
    start = file.tell()
    line = file.read(1 << 16).partition(b"\n")
    file.seek(start + len(line[0]) + len(line[1]))
    return line[0] + line[1]


def _difference(first: bytes, second: bytes) -> str:
    try:
        old, new = json.loads(first.removeprefix(_MARK)), json.loads(second.removeprefix(_MARK))
        return "different " + ", ".join(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)))
    except (ValueError, AttributeError, RecursionError):
        return "its first line is damaged"
