"""All pairs within a distance."""

import numpy as np

from ..errors import SearchError
from ..threads import cpu_count
from .blocks import Blocks, Scanned, Scanner, streamed
from .pairs import REFERENCE_ROWS, Float32, Indices, Offsets, Pairs, Ranks, Rows, check_dimensions, load


def pairs_within(
    queries: Rows,
    references: Rows,
    max_distance: float,
    *,
    query_ranks: Indices,
    reference_ranks: Indices,
    offsets: Offsets | None = None,
    threads: int | None = None,
    scanner: Scanner | None = None,
) -> Pairs:
    """Every pair whose Euclidean (not squared) distance is at most ``max_distance``, best first.

    queries [N, D], references [M, D], float32; ranks as from ``id_ranks``; offsets of the queries change the order of
    the pairs, not which they are; threads: all processors by default; scanner: who proposes pairs (default: the native core).
    Raises: SearchError on bad values, different dimensions, or a distance below 0 or NaN.
    """
    check_dimensions(queries, references)
    ranks = Ranks(np.asarray(query_ranks), np.asarray(reference_ranks))
    rows = load(queries, 0, queries.shape[0])
    scanned = streamed(references, REFERENCE_ROWS, scanner)
    pairs = within_in_blocks(rows, scanned, max_distance, ranks, threads or cpu_count())
    return pairs if offsets is None else ranks.sorted(pairs.moved(offsets))


def within_in_blocks(
    queries: Float32, references: Blocks[Scanned], max_distance: float, ranks: Ranks, threads: int
) -> Pairs:
    """The same for rows that have been checked. Raises: SearchError on a distance below 0 or NaN."""
    if not max_distance >= 0:
        raise SearchError(f"max_distance must be at least 0, not {max_distance}")
    parts: list[Pairs] = []
    for start, rows, alive in references:
        found = rows.within(queries, float(max_distance) * float(max_distance), alive=alive, threads=threads)
        assert found is not None, "no bound was given on their number"
        parts.append(Pairs(found[0], found[1] + start, found[2]))
    return ranks.sorted(Pairs.join(parts))
