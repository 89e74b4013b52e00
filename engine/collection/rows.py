"""Descriptor rows, memory-mapped, in the order of ids; every row is compared with its checksum whenever it is read."""

import zlib
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CollectionError
from .segments import HEADER_BYTES

Float32 = NDArray[np.float32]
BLOCK_ROWS = 4096


def row_checksums(rows: Float32) -> NDArray[np.uint32]:
    """float32 [N, D], C-contiguous -> crc32 of each row, uint32 [N]."""
    data, width = rows.reshape(-1).view(np.uint8).data, rows.shape[1] * rows.itemsize
    checksum = zlib.crc32
    return np.fromiter((checksum(data[i : i + width]) for i in range(0, len(data), width)), np.uint32, len(rows))


def as_rows(mapped: NDArray[np.uint8], dimension: int) -> Float32:
    """A mapped segment of descriptors as float32 [n, D]."""
    return mapped[HEADER_BYTES:].view("<f4").reshape(-1, dimension)


def gather(
    tables: Mapping[int, Float32], segments: NDArray[np.int64], rows: NDArray[np.int64], dimension: int
) -> Float32:
    """A copy of the rows at these places, float32 [n, D]; NaN where there is no such place, which no checksum agrees with."""
    block = np.full((len(rows), dimension), np.nan, np.float32)
    for number in np.unique(segments).tolist():
        table = tables.get(number, np.empty((0, dimension), np.float32))
        here = np.flatnonzero((segments == number) & (rows >= 0) & (rows < len(table)))
        block[here] = table[rows[here]]
    return block


class Descriptors:
    """The rows of a collection at one moment; later changes and compaction do not touch it.

    ``ids`` [N] with ``views`` [N], ``numbers`` int64 [N] of the references, which no other ever gets, ``checksums`` uint32 [N]
    of the rows, ``shape`` (N, D). What is taken out, ``descriptors[a:b]`` or ``descriptors[places]``, are float32 copies that
    have passed their checksums.
    """

    def __init__(
        self,
        path: Path,
        dimension: int,
        tables: Mapping[int, Float32],
        ids: list[str],
        views: list[str],
        numbers: NDArray[np.int64],
        places: NDArray[np.int64],
        checksums: NDArray[np.uint32],
    ) -> None:
        self.path = path
        self.ids = ids
        self.views = views
        self.numbers = numbers
        self.shape = (len(ids), dimension)
        self._tables = tables
        self._places = places
        self.checksums = checksums

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Float32:
        """Raises: CollectionError that names the first damaged reference."""
        return self.take(np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows)

    def take(self, which: NDArray[np.int64]) -> Float32:
        """The rows of these numbers, in any order, float32 [n, D]. Raises: CollectionError as slices do."""
        segments, numbers = self._places[which].T
        block = gather(self._tables, segments, numbers, self.shape[1])
        wrong = np.flatnonzero(row_checksums(block) != self.checksums[which])
        if len(wrong):
            name = self.ids[which[wrong[0]]]
            raise CollectionError(
                f"{self.path}: the descriptor of {name!r} is damaged ({len(wrong)} here); see collection check"
            )
        return block

    def of_views(self, views: Container[str]) -> "Descriptors":
        """The rows of these views alone, in the same order."""
        return self.only(np.flatnonzero([view in views for view in self.views]))

    def only(self, which: NDArray[np.int64]) -> "Descriptors":
        """The rows of these numbers, not read yet."""
        if np.array_equal(which, np.arange(len(self))):
            return self
        ids, views = ([names[row] for row in which.tolist()] for names in (self.ids, self.views))
        columns = self.numbers[which], self._places[which], self.checksums[which]
        return Descriptors(self.path, self.shape[1], self._tables, ids, views, *columns)

    def blocks(self, size: int = BLOCK_ROWS) -> Iterator[tuple[list[str], Float32]]:
        """(ids, rows) one block after the other."""
        for start in range(0, len(self), size):
            yield self.ids[start : start + size], self[start : start + size]
