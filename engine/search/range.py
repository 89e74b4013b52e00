"""All pairs within a distance."""

import numpy as np

from .pairs import (
    QUERY_ROWS,
    REFERENCE_ROWS,
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


def pairs_within(
    queries: Rows, references: Rows, max_distance: float, *, query_ranks: Indices, reference_ranks: Indices
) -> Pairs:
    """Every pair whose Euclidean (not squared) distance is at most ``max_distance``, best first.

    queries [N, D], references [M, D], float32; ranks as from ``id_ranks``.
    Raises: SearchError on bad values or different dimensions.
    """
    check_dimensions(queries, references)
    all_queries = load(queries, 0, queries.shape[0])
    found: list[Pairs] = []
    for start, block in blocks(references, REFERENCE_ROWS):
        index = block_index(block)
        for first in range(0, len(all_queries), QUERY_ROWS):
            part = all_queries[first : first + QUERY_ROWS]
            pairs = within(index, part, block, max_distance**2, rounding(part, block))
            found.append(Pairs(pairs.queries + first, pairs.references + start, pairs.distances))
    pairs = Pairs.join(found)
    return pairs[Ranks(np.asarray(query_ranks), np.asarray(reference_ranks)).order(pairs)]
