"""Pairs as columns, their order, and the descriptors they come from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import SearchError

Float32 = NDArray[np.float32]
Indices = NDArray[np.int64]
Offsets = NDArray[np.float64]
"""What is added to the squared distances of each query's pairs, [N]: so scores are normalised query by query."""

QUERY_ROWS = 4096
REFERENCE_ROWS = 16_384  # the more, the less often queries are quantised; four times 4096 take a twentieth less time


class Rows(Protocol):
    """An array or an HDF5 dataset [N, D] that is sliced block by block."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Pairs:
    """Parallel columns: row numbers of queries and references (int64), squared distances (float64).

    Where a search was given offsets, ``distances`` are the squared distances with the offset of their query added.
    """

    queries: Indices
    references: Indices
    distances: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.distances)

    @property
    def scores(self) -> NDArray[np.float64]:
        """-(squared distance); higher is more alike."""
        return 0.0 - self.distances

    def __getitem__(self, which: Any) -> "Pairs":
        return Pairs(self.queries[which], self.references[which], self.distances[which])

    def places_of_each(self) -> Indices:
        """Of every pair its place, from 0, among those of its query."""
        by_query = np.argsort(self.queries, kind="stable")
        places = np.empty(len(self), np.int64)
        places[by_query] = np.arange(len(self)) - np.searchsorted(self.queries[by_query], self.queries[by_query])
        return places

    def moved(self, offsets: Offsets | None) -> "Pairs":
        """The same with the offset of its query added to every distance."""
        if offsets is None:
            return self
        return Pairs(self.queries, self.references, self.distances + offsets[self.queries])

    @staticmethod
    def join(parts: Sequence["Pairs"]) -> "Pairs":
        if not parts:
            return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))
        columns = zip(*((part.queries, part.references, part.distances) for part in parts), strict=True)
        return Pairs(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True, slots=True)
class Ranks:
    """Position of every query and reference in the order of ids: what decides between equal distances."""

    queries: Indices
    references: Indices

    def order(self, pairs: Pairs) -> Indices:
        """Best first: distance, then query id, then reference id."""
        order: Indices = np.argsort(pairs.distances)  # much the faster one, and right where no two are equal
        ordered = pairs.distances[order]
        if not (ordered[1:] == ordered[:-1]).any():
            return order
        return np.lexsort((self.references[pairs.references], self.queries[pairs.queries], pairs.distances))

    def sorted(self, pairs: Pairs) -> Pairs:
        return pairs[self.order(pairs)]


def id_ranks(ids: Sequence[str]) -> Indices:
    """Ids -> rank of each in sorted order, int64 [N].

    Raises: SearchError when an id occurs twice.
    """
    order = sorted(range(len(ids)), key=ids.__getitem__)
    for a, b in pairwise(order):
        if ids[a] == ids[b]:
            raise SearchError(f"the id {ids[a]!r} occurs twice")
    ranks = np.empty(len(ids), np.int64)
    ranks[order] = np.arange(len(ids))
    return ranks


def load(rows: Rows, start: int, stop: int) -> Float32:
    """Rows start..stop as a contiguous float32 array.

    Raises: SearchError on NaN, infinite, or values whose squares leave float32.
    """
    block = np.ascontiguousarray(rows[start:stop], np.float32)
    if block.ndim != 2:
        raise SearchError(f"descriptors must be [N, D], not of shape {rows.shape}")
    squares = np.einsum("nd,nd->n", block, block)
    if not (squares <= 1e37).all():
        if not np.isfinite(block).all():
            raise SearchError("descriptors have NaN or infinite values")
        raise SearchError("descriptors are too large for float32 distances; scale them down")
    return block


def blocks(rows: Rows, size: int) -> Iterator[tuple[int, Float32]]:
    """(start, rows) one block after the other."""
    for start in range(0, rows.shape[0], size):
        yield start, load(rows, start, start + size)


def check_dimensions(queries: Rows, references: Rows) -> None:
    if len(queries.shape) != 2 or len(references.shape) != 2:
        raise SearchError(f"descriptors must be [N, D], not of shapes {queries.shape} and {references.shape}")
    if queries.shape[1] != references.shape[1]:
        raise SearchError(f"dimensions differ: queries have {queries.shape[1]}, references {references.shape[1]}")
