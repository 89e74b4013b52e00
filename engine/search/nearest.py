"""The k nearest references of every query."""

import numpy as np

from ..errors import SearchError, optional_module
from ..threads import cpu_count
from ._pairs import squared_distances
from .pairs import QUERY_ROWS, REFERENCE_ROWS, Float32, Indices, Pairs, Ranks, Rows, blocks, check_dimensions, load
from .scan import Block, Queries, rounding

_SPARE = 16


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

    queries [N, D], references [M, D], float32; ranks as from ``id_ranks``; threads: all processors by default.
    Raises: SearchError on bad values, different dimensions, or k < 1.
    """
    check_dimensions(queries, references)
    if k < 1:
        raise SearchError("k must be at least 1")
    ranks = Ranks(np.asarray(query_ranks), np.asarray(reference_ranks))
    workers = threads or cpu_count()
    optional_module("faiss", "cpu", "gpu").omp_set_num_threads(workers)
    parts = [Queries(rows) for _, rows in blocks(load(queries, 0, queries.shape[0]), QUERY_ROWS)]
    best = [Pairs.join([]) for _ in parts]
    for start, rows in blocks(references, REFERENCE_ROWS):
        for number, part in enumerate(parts):
            found = _nearest_in_block(part, rows, k, workers)
            found = Pairs(found.queries, found.references + start, found.distances)
            best[number] = _k_per_query(Pairs.join([best[number], found]), k, ranks.references)
    shifted = [Pairs(p.queries + n * QUERY_ROWS, p.references, p.distances) for n, p in enumerate(best)]
    pairs = Pairs.join(shifted)
    return pairs[ranks.order(pairs)]


def _k_per_query(pairs: Pairs, k: int, reference_ranks: Indices) -> Pairs:
    """The first k of each query in the order of distance and reference id."""
    order = np.lexsort((reference_ranks[pairs.references], pairs.distances, pairs.queries))
    pairs = pairs[order]
    position = np.arange(len(pairs)) - np.searchsorted(pairs.queries, pairs.queries)
    return pairs[position < k]


def _nearest_in_block(queries: Queries, references: Float32, k: int, threads: int) -> Pairs:
    """At least the k nearest of every query, exact distances, with everything that ties with the last of them."""
    index = optional_module("faiss", "cpu", "gpu").IndexFlatL2(references.shape[1])
    index.add(references)
    wanted, asked = min(k, len(references)), min(k + _SPARE, len(references))
    distances, found = index.search(queries.rows, asked)
    rows = np.repeat(np.arange(len(queries.rows), dtype=np.int64), asked)
    columns = np.ascontiguousarray(found.reshape(-1))
    exact = squared_distances(queries.rows, references, rows, columns)
    pairs = Pairs(rows, columns, exact)
    if asked == len(references):
        return pairs
    # Where the spare neighbours all lie within rounding of the k-th, more may tie with it: look again, by distance.
    slack = rounding(references.shape[1], queries.longest, float((references**2).sum(1).max()))
    crowded = np.flatnonzero(distances[:, -1] <= distances[:, wanted - 1] + 2 * slack)
    if not len(crowded):
        return pairs
    limits = np.partition(exact.reshape(-1, asked)[crowded], wanted - 1, axis=1)[:, wanted - 1]
    block = Block(references)
    parts = [pairs[~np.isin(rows, crowded)]]
    for row, limit in zip(crowded.tolist(), limits.tolist(), strict=True):
        again = block.within(Queries(queries.rows[row : row + 1]), limit, threads)
        parts.append(Pairs(again.queries + row, again.references, again.distances))
    return Pairs.join(parts)
