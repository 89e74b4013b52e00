"""Joins Milvus and search: Milvus proposes references, their own rows decide, by exact distances and the ties of all searches.

So a wrong, old or foreign row in Milvus can hide a reference, but never bring one that is not there, nor another score.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .collection import Descriptors
from .errors import MilvusError
from .match.views import CROP_LABELS
from .milvus import StoredRows
from .milvus.rows import MOST_HITS
from .references import References
from .search import Images, ImageSearch, IndexPairs, id_ranks, nearest_pairs, pairs_within
from .search.pairs import Pairs, load
from .threads import cpu_count

Float32 = NDArray[np.float32]
Indices = NDArray[np.int64]
Fetch = Callable[[Indices], Descriptors]
"""The rows of the whole pictures of those of the references with these numbers, ascending, that are there."""


class MilvusSearch:
    """Searches like those of ``search.Index``, but that the ones found may lack some. Safe to use from several threads.

    Raises: MilvusError where Milvus cannot be asked; what ``fetch`` raises.
    """

    def __init__(self, rows: StoredRows, fetch: Fetch, threads: int | None = None) -> None:
        self._rows = rows
        self._fetch = fetch
        self._threads = threads or cpu_count()

    def nearest(self, queries: Float32, k: int, *, query_ids: Sequence[str] | None = None) -> IndexPairs:
        """See ``search.Index``."""
        there = self._proposed(queries, k)
        ranks = _ranks(queries, query_ids)
        return _named(
            nearest_pairs(
                queries, there, k, query_ranks=ranks, reference_ranks=id_ranks(there.ids), threads=self._threads
            ),
            there,
        )

    def within(self, queries: Float32, max_distance: float, *, query_ids: Sequence[str] | None = None) -> IndexPairs:
        """See ``search.Index``. Raises: MilvusError where a query has more of them than Milvus tells."""
        ranks, k = _ranks(queries, query_ids), 1
        while True:
            there = self._proposed(queries, k)
            pairs = pairs_within(
                queries,
                there,
                max_distance,
                query_ranks=ranks,
                reference_ranks=id_ranks(there.ids),
                threads=self._threads,
            )
            most = int(np.bincount(pairs.queries, minlength=1).max()) if len(pairs) else 0
            if most < k or len(there) < k:
                return _named(pairs, there)
            if k == MOST_HITS:
                raise MilvusError(f"{self._rows.address}: more than {MOST_HITS} references are within {max_distance:g}")
            k = min(MOST_HITS, max(8 * k, 2 * most))

    def _proposed(self, queries: Float32, k: int) -> Descriptors:
        load(queries, 0, len(queries))  # refuses what no search can be asked
        fetched: list[Descriptors] = []

        def alive(numbers: Indices) -> NDArray[np.bool_]:
            fetched[:] = [self._fetch(numbers)]
            return np.isin(numbers, fetched[0].numbers)

        self._rows.proposed(queries, k, alive)
        return fetched[0]


class MilvusCandidates:
    """The references nearest to queries, in the place of ``candidates.nearest_references``; see there."""

    def __init__(self, rows: StoredRows) -> None:
        self._rows = rows

    def __call__(
        self, queries: Float32, references: References, k: int, *, crops: bool = True, threads: int
    ) -> tuple[Indices, Indices]:
        order = np.argsort(references.numbers)
        ascending = references.numbers[order]

        def alive(numbers: Indices) -> NDArray[np.bool_]:
            return np.isin(numbers, ascending)

        def places(numbers: Indices) -> Indices:
            return np.sort(order[np.searchsorted(ascending, numbers)])

        each = np.arange(len(queries))
        near = places(self._rows.proposed(queries, k, alive))
        found = nearest_pairs(
            queries, references.descriptors[near], k, query_ranks=each, reference_ranks=near, threads=threads
        )
        if references.crops is None or not crops:
            return found.queries, near[found.references]
        count = len(CROP_LABELS)
        close = places(self._rows.proposed(queries, k, alive, "crops", rows_each=count))
        rows = references.crops[(count * close[:, None] + np.arange(count)).reshape(-1)]
        images = Images([references.ids[place] for place in close], np.repeat(np.arange(len(close)), count), close)
        query_images = Images([str(number) for number in each], each, each)
        by_crop = ImageSearch(queries, rows, query_images, images, threads=threads).nearest(k).pairs
        return (
            np.append(found.queries, by_crop.queries),
            np.append(near[found.references], close[by_crop.references]),
        )


def _ranks(queries: Float32, ids: Sequence[str] | None) -> Indices:
    return np.arange(len(queries)) if ids is None else id_ranks(ids)


def _named(pairs: Pairs, there: Descriptors) -> IndexPairs:
    return IndexPairs(pairs.queries, [there.ids[row] for row in pairs.references.tolist()], pairs.distances)
