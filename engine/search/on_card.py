"""References scanned by a graphics card: it proposes pairs (see ``proposals``), the native core decides in float64."""

from collections import OrderedDict
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import DeviceMemoryError
from ..graphs import Where
from .pairs import Float32, Indices
from .proposals import FARTHEST, Proposer, thresholds

_TILE = 1 << 27  # pairs looked at in one step: 0.7 GB on the card, 2 GB more where all of them are proposed
_QUERIES_KEPT = 64  # blocks of queries that stay on the card for the next block of references
_ANY_NUMBER = (1 << 63) - 1


class CardScanner:
    """Makes references ready to be scanned by a graphics card; for one search after the other.

    columns: D. where: "cpu" has the processor compute the same graphs, which tests them. tile: pairs looked at in one step.
    Nothing of this has run on a card yet: the tests compute the graphs on the processor.
    Raises: DeviceError where there is no card to be used; MissingExtraError.
    """

    def __init__(self, columns: int, where: Where = "cuda", *, block_rows: int = 32_768, tile: int = _TILE) -> None:
        self.block_rows = block_rows
        self.lanes = 2  # while the processor decides what one block's pairs are, the card looks at the next
        self.tile = tile
        self.proposer = Proposer(columns, where)
        self._columns = columns
        self._keeping = Lock()
        self._kept: OrderedDict[tuple[int, int], tuple[Float32, object, NDArray[np.float64]]] = OrderedDict()

    def __call__(self, rows: Float32) -> "CardRows":
        return CardRows(rows, self)

    def propose(self, queries: Float32, limits: NDArray[np.float64], references: object, most: int) -> Indices | None:
        """Pairs [2, P] among which are all within the finite limits [N]; None for more than ``most``."""
        ready, squares = self._ready(queries)
        t = thresholds(squares, limits, self._columns)
        try:
            return self.proposer.found(ready, t, references, most)
        except DeviceMemoryError:
            if len(queries) == 1:
                raise
        half = len(queries) // 2
        first = self.propose(queries[:half], limits[:half], references, most)
        second = self.propose(queries[half:], limits[half:], references, most)
        if first is None or second is None:
            return None
        second[0] += half
        return np.concatenate([first, second], axis=1)

    def _ready(self, queries: Float32) -> tuple[object, NDArray[np.float64]]:
        """Queries on the card and their squared lengths; they are brought there once for all blocks of references.

        The array itself is kept beside what was made of it, so that no other can come to lie at its address.
        """
        key = (queries.ctypes.data, len(queries))
        with self._keeping:
            if key not in self._kept:
                squares = np.einsum("nd,nd->n", queries, queries, dtype=np.float64)
                self._kept[key] = (queries, self.proposer.queries(queries), squares)
                while len(self._kept) > _QUERIES_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            _, ready, squares = self._kept[key]
        return ready, squares


class CardRows:
    """References [M, D] on a graphics card and in memory; see :class:`~copytrace.engine.search.blocks.Scanned`."""

    def __init__(self, rows: Float32, scanner: CardScanner) -> None:
        self._rows = rows
        self._scanner = scanner
        self._ready = scanner.proposer.references(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def _core(self) -> _core.References:
        return _core.References(self._rows)

    def within(
        self,
        queries: Float32,
        limit: float | NDArray[np.float64],
        *,
        most: int | None = None,
        alive: NDArray[np.bool_] | None = None,
        threads: int = 1,
    ) -> tuple[Indices, Indices, NDArray[np.float64]] | None:
        """See ``Scanned``; where a limit lets everything pass, there is nothing to propose, and the native core computes all.

        None as well where that many pairs are proposed. Raises: DeviceMemoryError, DeviceError.
        """
        limits = np.broadcast_to(np.asarray(limit, np.float64), (len(queries),))
        if not (np.abs(limits) < FARTHEST).all():
            return self._core.within(queries, limit, most=most, alive=alive, threads=threads)
        parts, room = [np.empty((2, 0), np.int64)], _ANY_NUMBER if most is None else most
        step = max(1, self._scanner.tile // max(1, len(self)))
        for first in range(0, len(queries), step):
            end = first + step
            found = self._scanner.propose(queries[first:end], limits[first:end], self._ready, room)
            if found is None:
                return None
            room -= found.shape[1]
            found[0] += first
            parts.append(found)
        return self._decide(np.concatenate(parts, axis=1), queries, limits, alive, threads)

    def _decide(
        self,
        proposed: Indices,
        queries: Float32,
        limits: NDArray[np.float64],
        alive: NDArray[np.bool_] | None,
        threads: int,
    ) -> tuple[Indices, Indices, NDArray[np.float64]]:
        if alive is not None:
            proposed = proposed[:, alive[proposed[1]]]
        query, row = np.ascontiguousarray(proposed[0]), np.ascontiguousarray(proposed[1])
        distances = _core.pair_distances(queries, self._rows, query, row, threads=threads)
        near = distances <= limits[query]
        return query[near], row[near], distances[near]
