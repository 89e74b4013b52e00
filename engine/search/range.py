"""All pairs within a distance."""

import numpy as np

from ..errors import SearchError
from ..threads import cpu_count
from .pairs import QUERY_ROWS, REFERENCE_ROWS, Indices, Pairs, Ranks, Rows, blocks, check_dimensions, load
from .scan import Block, Queries


def pairs_within(
    queries: Rows,
    references: Rows,
    max_distance: float,
    *,
    query_ranks: Indices,
    reference_ranks: Indices,
    threads: int | None = None,
) -> Pairs:
    """Every pair whose Euclidean (not squared) distance is at most ``max_distance``, best first.

    queries [N, D], references [M, D], float32; ranks as from ``id_ranks``; threads: all processors by default.
    Raises: SearchError on bad values, different dimensions, or a distance below 0 or NaN.
    """
    check_dimensions(queries, references)
    if not max_distance >= 0.0:
        raise SearchError(f"max_distance must be at least 0, not {max_distance}")
    limit = float(max_distance) * float(max_distance)  # infinite where the square leaves float64, which ** would refuse
    parts = [Queries(rows) for _, rows in blocks(load(queries, 0, queries.shape[0]), QUERY_ROWS)]
    found: list[Pairs] = []
    for start, rows in blocks(references, REFERENCE_ROWS):
        block = Block(rows)
        for number, part in enumerate(parts):
            pairs = block.within(part, limit, threads or cpu_count())
            found.append(Pairs(pairs.queries + number * QUERY_ROWS, pairs.references + start, pairs.distances))
    pairs = Pairs.join(found)
    return pairs[Ranks(np.asarray(query_ranks), np.asarray(reference_ranks)).order(pairs)]
