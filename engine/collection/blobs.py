"""The blobs of one kind, memory-mapped, in the order of ids; each is compared with its checksum whenever it is read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CollectionError
from .incoming import Blob
from .records import BlobRecord

Bytes = NDArray[np.uint8]


class Blobs:
    """The blobs of one kind at one moment; later changes and compaction do not touch it.

    ``ids`` [N]; ``lengths`` int64 [N], bytes of each, -1 where a reference has none; ``versions`` int64 [N] likewise, and
    ``references``, the reference's number, which no other ever gets.
    ``blobs[i]`` reads one, None where there is none.
    """

    def __init__(
        self, path: Path, kind: str, ids: list[str], table: NDArray[np.int64], maps: Mapping[int, Bytes]
    ) -> None:
        """table: int64 [N, 6], in the order of ids, what the catalogue says; -1 where there is no blob."""
        self.path = path
        self.kind = kind
        self.ids = ids
        self.references = table[:, 0]
        self.versions = table[:, 1]
        self.lengths = table[:, 4]
        self._table = table
        self._maps = maps

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> Blob | None:
        """Raises: CollectionError that names the reference whose blob is damaged."""
        reference, version, segment, offset, length, checksum = self._table[number].tolist()
        if reference < 0:
            return None
        record = BlobRecord(reference, self.kind, version, segment, offset, length, checksum)
        return read_blob(self.path, self.ids[number], record, bytes_of(self._maps, record))


def bytes_of(maps: Mapping[int, Bytes], blob: BlobRecord) -> Bytes:
    """Where a blob lies, not compared with its checksum yet; shorter than it should be where there is no such place."""
    if blob.segment not in maps or min(blob.offset, blob.length) < 0:
        return np.empty(0, np.uint8)
    return maps[blob.segment][blob.offset : blob.offset + blob.length]


def read_blob(path: Path, name: str, record: BlobRecord, data: Bytes) -> Blob:
    """Raises: CollectionError when the checksum differs."""
    copied = data.tobytes()
    if not blob_is_whole(record, copied):
        raise CollectionError(f"{path}: the {record.kind} of {name!r} are damaged; see collection check")
    return Blob(record.version, copied)


def blob_is_whole(record: BlobRecord, data: bytes) -> bool:
    return len(data) == record.length and record.expected(data) == record.checksum


def in_order_of_references(table: NDArray[np.int64], numbers: Sequence[int]) -> NDArray[np.int64]:
    """Rows int64 [M, 6] of blobs, the reference's number first and ascending -> one row for each of ``numbers`` [N], of -1
    where there is none."""
    wanted = np.asarray(numbers, np.int64)
    found = np.full((len(wanted), 6), -1, np.int64)
    if len(table):
        places = np.minimum(np.searchsorted(table[:, 0], wanted), len(table) - 1)
        there = table[places, 0] == wanted
        found[there] = table[places[there]]
    return found
