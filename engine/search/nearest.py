"""The k nearest references of every query."""

import numpy as np

from ..errors import SearchError
from ._pairs import squared_distances
from .pairs import (
    QUERY_ROWS,
    REFERENCE_ROWS,
    Float32,
    Indices,
    Pairs,
    Ranks,
    Rows,
    block_index,
    blocks,
    check_dimensions,
    load,
    rounding,
    within,
)

_SPARE = 16


def nearest_pairs(
    queries: Rows, references: Rows, k: int, *, query_ranks: Indices, reference_ranks: Indices
) -> Pairs:
    """The k references nearest to each query (all, if fewer), ties by reference id; the pairs of all queries, best first.

    queries [N, D], references [M, D], float32; ranks as from ``id_ranks``.
    Raises: SearchError on bad values, different dimensions, or k < 1.
    """
    check_dimensions(queries, references)
    if k < 1:
        raise SearchError("k must be at least 1")
    ranks = Ranks(np.asarray(query_ranks), np.asarray(reference_ranks))
    all_queries = load(queries, 0, queries.shape[0])
    best = [Pairs.join([]) for _ in range(0, len(all_queries), QUERY_ROWS)]
    for start, block in blocks(references, REFERENCE_ROWS):
        for number in range(len(best)):
            part = all_queries[number * QUERY_ROWS : (number + 1) * QUERY_ROWS]
            found = _nearest_in_block(part, block, k)
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


def _nearest_in_block(queries: Float32, references: Float32, k: int) -> Pairs:
    """At least the k nearest of every query, exact distances, with everything that ties with the last of them."""
    slack = rounding(queries, references)
    index = block_index(references)
    wanted = min(k, len(references))
    asked = min(k + _SPARE, len(references))
    distances, found = index.search(queries, asked)
    rows = np.repeat(np.arange(len(queries), dtype=np.int64), asked)
    columns = np.ascontiguousarray(found.reshape(-1))
    parts = [Pairs(rows, columns, squared_distances(queries, references, rows, columns))]
    # Where the spare neighbours all lie within rounding of the k-th, more may tie with it: look again, by radius.
    crowded = np.flatnonzero(distances[:, -1] <= distances[:, wanted - 1] + 2 * slack) if asked < len(references) else []
    for row in crowded:
        near = parts[0].distances[row * asked : (row + 1) * asked]
        limit = float(np.partition(near, wanted - 1)[wanted - 1]) + 2 * slack
        again = within(index, queries[row : row + 1], references, limit, slack)
        seen = np.isin(again.references, columns[row * asked : (row + 1) * asked])
        parts.append(Pairs(again.queries + row, again.references, again.distances)[~seen])
    return Pairs.join(parts)
