"""What a collection holds at one moment: the catalogue read in one transaction, and the segments it names mapped within it."""

from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from sys import intern
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import CollectionError
from .blobs import Blobs, bytes_of, in_order_of_references
from .catalogue import Catalogue
from .records import BlobRecord, Record, Reference
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
        return self.rows_of(self._catalogue.records(), view)

    def rows_of(self, records: Iterable[Record], view: str | None) -> Descriptors:
        """The rows of one view of these references, or with None those of all views, in their order; not read yet."""
        ids: list[str] = []
        views: list[str] = []
        numbers = array("q")
        places = array("q")
        checksums = bytearray()
        for record in records:
            for i, name in enumerate(record.view_names()):
                if view is None or name == view:
                    ids.append(record.id)
                    views.append(intern(name))  # one text for all of them
                    numbers.append(record.number)
                    places.extend((record.segment, record.row + i))
                    checksums += record.checksums[4 * i : 4 * i + 4]
        table = np.frombuffer(places, np.int64).reshape(-1, 2)
        sums = np.frombuffer(checksums, "<u4")
        whose = np.frombuffer(numbers, np.int64)
        return Descriptors(self.path, self._dimension, self.tables, ids, views, whose, table, sums)

    def with_blobs(self, kinds: Iterable[str]) -> tuple[Descriptors, dict[str, Blobs]]:
        """The rows of all views, and all blobs of these kinds; both in the order of ids."""
        records = [(record.number, record.id, record.blob_kinds()) for record in self._catalogue.records()]
        ids = [name for _, name, _ in records]
        found = {}
        for kind in kinds:
            table = in_order_of_references(self._catalogue.blob_table(kind), [number for number, _, _ in records])
            lost = np.flatnonzero((table[:, 0] < 0) & np.array([kind in there for _, _, there in records], bool))
            if len(lost):
                name = ids[lost[0]]
                raise CollectionError(f"{self.path}: its catalogue is damaged: {name!r} has lost its {kind}")
            found[kind] = Blobs(self.path, kind, ids, table, self.maps)
        return self.descriptors(None), found

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
            found.append((record.id, blob, np.empty(0, np.uint8) if blob is None else bytes_of(self.maps, blob)))
        return found


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
