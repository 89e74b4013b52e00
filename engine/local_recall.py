"""Joins references and votes: an index of their local features, which follows a collection without being built anew."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .match.features import LocalFeatures
from .match.recall import LocalIndex, Quantisers, index_kind, memory_bytes, most_voted, sample_step
from .pipeline import chunks_of
from .references import References

_ADDED = 1024  # references whose features are added at a time


class Recall(Protocol):
    """Who tells what local features vote for."""

    def most_voted(self, queries: Sequence[LocalFeatures], count: int) -> list[list[int]]:
        """For each query the rows of the ``count`` references with the most votes, best first."""
        ...


class LocalRecall:
    """What local features of references vote for. announce: is told the size of an index before it is built. threads: of
    building it and of one search.

    Features stand under numbers that no other reference ever gets; votes and ties go by the order of ids. So an index that
    followed its collection answers as one made of it as it is now.
    """

    def __init__(
        self, references: References, quantisers: Quantisers, announce: Callable[[str], None], threads: int
    ) -> None:
        self._quantisers = quantisers
        self._threads = threads
        self._announce = announce
        self._numbers = references.numbers
        self.index = self._built(references)

    def update(self, references: References) -> None:
        """Follow a collection to another moment: what has gone is removed, what is new added. Only where so much came or went
        that the rule asks for an index of another kind is it built anew."""
        if index_kind(references.rows, self._quantisers) != self.index.kind:
            self.index = self._built(references)
        else:
            new = np.flatnonzero(~np.isin(references.numbers, self._numbers)).tolist()
            features = [references.features[row] for row in new]  # all are read before anything is changed
            self.index.remove(np.setdiff1d(self._numbers, references.numbers).tolist())
            self.index.add(references.numbers[new].tolist(), features)
        self._numbers = references.numbers

    def most_voted(self, queries: Sequence[LocalFeatures], count: int) -> list[list[int]]:
        """For each query the ``count`` references with the most votes, best first, as rows in the order of ids."""
        return [most_voted(votes, count) for votes in self.votes(queries)]

    def votes(self, queries: Sequence[LocalFeatures]) -> list[dict[int, float]]:
        """For each query the row of a reference -> votes, see ``LocalIndex.votes``."""
        return [self._by_row(votes) for votes in self.index.votes(queries)]

    def nearest(self, query: LocalFeatures) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """For every feature the squared distance to its nearest one, float32 [F], and the row of the reference that has it,
        int64 [F]; -1 where there is none."""
        distances, owners = self.index.nearest(query.descriptors, 1)
        rows = np.where(owners[:, 0] < 0, -1, self._rows(owners[:, 0]))
        return distances[:, 0], rows

    def _by_row(self, votes: dict[int, float]) -> dict[int, float]:
        rows = self._rows(np.fromiter(votes, np.int64, len(votes))).tolist()
        return dict(zip(rows, votes.values(), strict=True))

    def _rows(self, owners: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows, in the order of ids, of references by their numbers in the index."""
        order = np.argsort(self._numbers)
        places = np.searchsorted(self._numbers, owners, sorter=order)
        return np.append(order, -1)[places].astype(np.int64)

    def _built(self, references: References) -> LocalIndex:
        index = LocalIndex(references.rows, self._quantisers, threads=self._threads)
        count, size = len(references), memory_bytes(references.rows) / (1 << 20)
        self._announce(
            f"local index {index.kind}: {references.rows:,} features of {count:,} references, {size:,.1f} MiB"
        )
        step = sample_step(references.rows, self._quantisers)
        samples = chunks_of(range(0, count, step), _ADDED)
        index.reserve(([references.features[row] for row in rows] for rows in samples), step)
        for rows in chunks_of(range(count), _ADDED):
            index.add(references.numbers[rows].tolist(), [references.features[row] for row in rows])
        return index
