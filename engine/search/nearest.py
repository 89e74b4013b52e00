"""The k nearest references of every query."""

import numpy as np

from .. import _core
from ..errors import SearchError
from ..threads import cpu_count
from .pairs import Indices, Pairs, Rows, blocks, check_dimensions, load

_BLOCK = 16_384  # references at a time: the more, the fewer are looked at in float64


def nearest_pairs(
    queries: Rows,
    references: Rows,
    k: int,
    *,
    query_ranks: Indices,
    reference_ranks: Indices,
    threads: int | None = None,
) -> Pairs:
    """The k references nearest to each query (all, if fewer), ties by reference id; the pairs of all queries, best first.

    queries [N, D] are loaded whole, references [M, D] block by block, float32; ranks as from ``id_ranks``; threads: all
    processors by default.
    Raises: SearchError on bad values, different dimensions, or k < 1.
    """
    check_dimensions(queries, references)
    if k < 1:
        raise SearchError("k must be at least 1")
    # In the order of their ids: a stable sort by distance then leaves equal ones as they should stand.
    by_id = np.argsort(np.asarray(query_ranks))
    search = _core.NearestSearch(load(queries, 0, queries.shape[0])[by_id], min(k, max(references.shape[0], 1)))
    ranks = np.ascontiguousarray(reference_ranks, np.int64)
    for start, block in blocks(references, _BLOCK):
        search.add(_core.References(block), start, ranks[start : start + len(block)], threads=threads or cpu_count())
    found, rows, distances = search.result()
    pairs = Pairs(by_id[found], rows, distances)
    return pairs[np.argsort(distances, kind="stable")]
