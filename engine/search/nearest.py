"""The k nearest references of every query."""

import numpy as np

from .. import _core
from ..errors import SearchError
from ..threads import cpu_count
from .blocks import Blocks, Scanner, StreamedBlocks, streamed
from .nearest_by_limits import nearest_by_limits
from .pairs import Float32, Indices, Offsets, Pairs, Ranks, Rows, check_dimensions, load

_BLOCK = 32_768  # references at a time: the more, the fewer are looked at in float64


def nearest_pairs(
    queries: Rows,
    references: Rows,
    k: int,
    *,
    query_ranks: Indices,
    reference_ranks: Indices,
    offsets: Offsets | None = None,
    threads: int | None = None,
    scanner: Scanner | None = None,
) -> Pairs:
    """The k references nearest to each query (all, if fewer), ties by reference id; the pairs of all queries, best first.

    queries [N, D] are loaded whole, references [M, D] block by block, float32; ranks as from ``id_ranks``; offsets of the
    queries change the order of the pairs of different queries; threads: all processors by default; scanner: who proposes pairs
    (default: the native core).
    Raises: SearchError on bad values, different dimensions, or k < 1.
    """
    check_dimensions(queries, references)
    ranks = Ranks(np.asarray(query_ranks), np.asarray(reference_ranks))
    rows = load(queries, 0, queries.shape[0])
    if k < 1:
        raise SearchError("k must be at least 1")
    k, threads = min(k, max(references.shape[0], 1)), threads or cpu_count()
    if scanner is None:
        pairs = nearest_in_blocks(rows, StreamedBlocks(references, _BLOCK, _core.References), k, ranks, threads)
    else:
        pairs = nearest_by_limits(rows, streamed(references, _BLOCK, scanner), k, ranks, threads)
    return pairs if offsets is None else ranks.sorted(pairs.moved(offsets))


def nearest_in_blocks(
    queries: Float32, references: Blocks[_core.References], k: int, ranks: Ranks, threads: int
) -> Pairs:
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
