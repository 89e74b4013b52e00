"""What a collection holds at one moment: the catalogue read in one transaction, and the segments it names mapped within it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import CollectionError
from .catalogue import Catalogue
from .incoming import Blob
from .records import BlobRecord, Reference
from .rows import Descriptors, as_rows
from .segments import DESCRIPTORS, SegmentFiles

T = TypeVar("T")
_TRIES = 20


class Snapshot:
    """Valid within the transaction that made it; what it gives out stays valid afterwards."""

    def __init__(self, path: Path, catalogue: Catalogue, files: SegmentFiles, dimension: int) -> None:
        self.path = path
        self._catalogue = catalogue
        self._dimension = dimension
        self.segments = catalogue.segments()
        self.maps = {segment.number: files.map(segment) for segment in self.segments}
        self.tables = {
            segment.number: as_rows(self.maps[segment.number], dimension)
            for segment in self.segments
            if segment.kind == DESCRIPTORS
        }

    def references(self) -> list[Reference]:
        return [record.reference() for record in self._catalogue.records()]

    def descriptors(self, view: str | None) -> Descriptors:
        ids: list[str] = []
        views: list[str] = []
        places: list[tuple[int, int]] = []
        checksums: list[bytes] = []
        for record in self._catalogue.records():
            for i, name in enumerate(record.view_names()):
                if view is None or name == view:
                    ids.append(record.id)
                    views.append(name)
                    places.append((record.segment, record.row + i))
                    checksums.append(record.checksums[4 * i : 4 * i + 4])
        table = np.asarray(places, np.int64).reshape(-1, 2)
        sums = np.frombuffer(b"".join(checksums), "<u4")
        return Descriptors(self.path, self._dimension, self.tables, ids, views, table, sums)

    def blobs(self, kind: str, ids: Iterable[str] | None) -> list[tuple[str, BlobRecord | None, NDArray[np.uint8]]]:
        """(id, record, the bytes as they lie there) of each reference."""
        if ids is None:
            records = list(self._catalogue.records())
        else:
            wanted = list(ids)
            records = list(self._catalogue.find(wanted))
            if len(records) < len(wanted):
                missing = sorted(set(wanted) - {record.id for record in records})
                raise CollectionError(f"{self.path}: there is no {missing[0]!r}")
        found = []
        for record in records:
            blob = self._catalogue.blob_of(record.number, kind) if kind in record.blob_kinds() else None
            if blob is None and kind in record.blob_kinds():
                raise CollectionError(f"{self.path}: its catalogue is damaged: {record.id!r} has lost its {kind}")
            found.append((record.id, blob, self.bytes_of(blob)))
        return found

    def bytes_of(self, blob: BlobRecord | None) -> NDArray[np.uint8]:
        """Where a blob lies, not compared with its checksum yet; shorter than it should be where there is no such place."""
        if blob is None or blob.segment not in self.maps or min(blob.offset, blob.length) < 0:
            return np.empty(0, np.uint8)
        return self.maps[blob.segment][blob.offset : blob.offset + blob.length]


def read_blob(path: Path, name: str, record: BlobRecord, data: NDArray[np.uint8]) -> Blob:
    """Raises: CollectionError when the checksum differs."""
    copied = data.tobytes()
    if not blob_is_whole(record, copied):
        raise CollectionError(f"{path}: the {record.kind} of {name!r} are damaged; see collection check")
    return Blob(record.version, copied)


def blob_is_whole(record: BlobRecord, data: bytes) -> bool:
    return len(data) == record.length and record.expected(data) == record.checksum


def take_snapshot(
    path: Path, catalogue: Catalogue, files: SegmentFiles, dimension: int, use: Callable[[Snapshot], T]
) -> T:
    """Call ``use`` with a snapshot, tried again where a segment was compacted away before it was mapped.

    Raises: CollectionError.
    """
    for attempt in range(_TRIES):
        with catalogue.reading():
            try:
                snapshot = Snapshot(path, catalogue, files, dimension)
            except FileNotFoundError as error:
                if attempt == _TRIES - 1:
                    raise CollectionError(f"{error.filename}: is missing; restore a backup") from None
                continue
            files.forget(segment.number for segment in snapshot.segments)
            return use(snapshot)
    raise AssertionError("unreachable")
