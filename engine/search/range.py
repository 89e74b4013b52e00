"""All pairs within a distance."""

import numpy as np

from .. import _core
from ..errors import SearchError
from ..threads import cpu_count
from .pairs import REFERENCE_ROWS, Indices, Pairs, Ranks, Rows, blocks, check_dimensions, load


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
    all_queries = load(queries, 0, queries.shape[0])
    found: list[Pairs] = []
    for start, block in blocks(references, REFERENCE_ROWS):
        within = _core.References(block).within(all_queries, limit, threads=threads or cpu_count())
        assert within is not None, "no bound was given on their number"
        found.append(Pairs(within[0], within[1] + start, within[2]))
    pairs = Pairs.join(found)
    return pairs[Ranks(np.asarray(query_ranks), np.asarray(reference_ranks)).order(pairs)]
