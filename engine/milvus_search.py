"""Joins Milvus and search: Milvus proposes references, their own rows decide, by exact distances and the ties of all searches.

So a wrong, old or foreign row in Milvus can hide a reference, but never bring one that is not there, nor another score. What is
found for a query does not depend on the queries beside it.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .collection import Descriptors
from .errors import MilvusError, SearchError
from .match.views import CROP_LABELS
from .milvus import Part, StoredRows
from .milvus.rows import MOST_HITS
from .references import References
from .search import IndexPairs, Pairs, Ranks, id_ranks, nearest_given, pair_distances
from .search.pairs import load
from .threads import cpu_count

Float32 = NDArray[np.float32]
Indices = NDArray[np.int64]
Fetch = Callable[[Indices], Descriptors]
"""The rows of the whole pictures of those of the references with these numbers, ascending, that are there."""
_WITHIN = 16  # nearest ones asked for first


class MilvusSearch:
    """Searches like those of ``search.Index``, but that what they find may lack some. Safe to use from several threads.

    Raises: MilvusError where Milvus cannot be asked; what ``fetch`` raises.
    """

    def __init__(self, rows: StoredRows, fetch: Fetch, threads: int | None = None) -> None:
        self._rows = rows
        self._fetch = fetch
        self._threads = threads or cpu_count()

    def nearest(self, queries: Float32, k: int, *, query_ids: Sequence[str] | None = None) -> IndexPairs:
        """See ``search.Index``."""
        if k < 1:
            raise SearchError("k must be at least 1")
        pairs, there = self._candidates(queries, k)
        return _named(nearest_given(pairs, k, Ranks(_ranks(queries, query_ids), id_ranks(there.ids))), there)

    def within(self, queries: Float32, max_distance: float, *, query_ids: Sequence[str] | None = None) -> IndexPairs:
        """See ``search.Index``. Raises: MilvusError where a query has more of them than Milvus tells."""
        if not max_distance >= 0:
            raise SearchError(f"max_distance must be at least 0, not {max_distance}")
        left, k, parts = np.arange(len(queries)), _WITHIN, []
        while len(left):
            pairs, there = self._candidates(queries[left], k)
            near = pairs[pairs.distances <= float(max_distance) * float(max_distance)]
            found, proposed = (np.bincount(some.queries, minlength=len(left)) for some in (near, pairs))
            done = (found < k) | (proposed < k)
            if k == MOST_HITS and not done.all():
                raise MilvusError(f"{self._rows.address}: more than {MOST_HITS} references are within {max_distance:g}")
            kept = _named(near[done[near.queries]], there)
            parts.append(IndexPairs(left[kept.queries], kept.references, kept.distances))
            left, k = left[~done], min(MOST_HITS, 8 * k)
        return _joined(parts, _ranks(queries, query_ids))

    def _candidates(self, queries: Float32, k: int) -> tuple[Pairs, Descriptors]:
        """Pairs of queries with references that are there, by their numbers and by their places in what is returned as well."""
        checked = load(queries, 0, len(queries))  # refuses what no search can be asked
        if checked.shape[1] != self._rows.dimension:
            raise SearchError(f"dimensions differ: queries have {checked.shape[1]}, references {self._rows.dimension}")
        fetched: list[Descriptors] = []

        def alive(numbers: Indices) -> NDArray[np.bool_]:
            fetched.append(self._fetch(numbers))
            return np.isin(numbers, fetched[-1].numbers)

        whose, numbers = self._rows.proposed(checked, k, alive)
        there = fetched[0] if len(fetched) == 1 else self._fetch(np.unique(numbers))
        still = np.isin(numbers, there.numbers)
        whose, places = whose[still], np.searchsorted(there.numbers, numbers[still])
        distances = pair_distances(checked, there, whose, places, threads=self._threads)
        return Pairs(whose, places, distances), there


class MilvusCandidates:
    """The references nearest to queries, in the place of ``candidates.nearest_references``; see there."""

    def __init__(self, rows: StoredRows) -> None:
        self._rows = rows

    def __call__(
        self, queries: Float32, references: References, k: int, *, crops: bool = True, threads: int
    ) -> tuple[Indices, Indices]:
        order = np.argsort(references.numbers)
        ascending = references.numbers[order]

        def nearest(rows: Descriptors | Float32, part: Part, count: int) -> Pairs:
            """count: rows of each reference."""
            whose, numbers = self._rows.proposed(
                queries, k, lambda numbers: np.isin(numbers, ascending), part, rows_each=count
            )
            places = order[np.searchsorted(ascending, numbers)]
            read, of_read = np.unique(places, return_inverse=True)
            each = np.arange(count)
            values = rows[(count * read[:, None] + each).reshape(-1)]
            pairs = np.repeat(whose, count), (count * of_read[:, None] + each).reshape(-1)
            distances = pair_distances(queries, values, *pairs, threads=threads).reshape(-1, count).min(axis=1)
            ranks = Ranks(np.arange(len(queries)), np.arange(len(references)))
            return nearest_given(Pairs(whose, places, distances), k, ranks)

        whole = nearest(references.descriptors, "whole", 1)
        if references.crops is None or not crops:
            return whole.queries, whole.references
        close = nearest(references.crops, "crops", len(CROP_LABELS))
        return np.append(whole.queries, close.queries), np.append(whole.references, close.references)


def _ranks(queries: Float32, ids: Sequence[str] | None) -> Indices:
    return np.arange(len(queries)) if ids is None else id_ranks(ids)


def _named(pairs: Pairs, there: Descriptors) -> IndexPairs:
    return IndexPairs(pairs.queries, [there.ids[row] for row in pairs.references.tolist()], pairs.distances)


def _joined(parts: Sequence[IndexPairs], query_ranks: Indices) -> IndexPairs:
    """Pairs of different queries, best first."""
    names = sorted({name for part in parts for name in part.references})
    places = {name: place for place, name in enumerate(names)}
    columns = [Pairs(p.queries, np.array([places[n] for n in p.references], np.int64), p.distances) for p in parts]
    pairs = Ranks(query_ranks, np.arange(len(names))).sorted(Pairs.join(columns))
    return IndexPairs(pairs.queries, [names[place] for place in pairs.references.tolist()], pairs.distances)
