"""The k nearest references of every query."""

import numpy as np

from .. import _core
from ..errors import SearchError
from ..threads import cpu_count
from .blocks import Blocks, StreamedBlocks
from .pairs import Float32, Indices, Pairs, Ranks, Rows, check_dimensions, load

_BLOCK = 32_768  # references at a time: the more, the fewer are looked at in float64


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
    ranks = Ranks(np.asarray(query_ranks), np.asarray(reference_ranks))
    rows = load(queries, 0, queries.shape[0])
    return nearest_in_blocks(rows, StreamedBlocks(references, _BLOCK), k, ranks, threads or cpu_count())


def nearest_in_blocks(queries: Float32, references: Blocks, k: int, ranks: Ranks, threads: int) -> Pairs:
    """The same for rows that have been checked. Raises: SearchError on k < 1."""
    if k < 1:
        raise SearchError("k must be at least 1")
    # In the order of their ids: where distances are equal, a stable sort leaves the pairs as they should stand.
    by_id = np.argsort(ranks.queries)
    search = _core.NearestSearch(queries[by_id], min(k, max(references.shape[0], 1)))
    keys = np.ascontiguousarray(ranks.references, np.int64)
    for start, rows, alive in references:
        search.add(rows, start, keys[start : start + len(rows)], alive=alive, threads=threads)
    found, numbers, distances = search.result(threads=threads)
    pairs = Pairs(by_id[found], numbers, distances)
    order = np.argsort(distances)  # much the faster one, and right where no two are equal
    ordered = distances[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.argsort(distances, kind="stable")
    return pairs[order]
