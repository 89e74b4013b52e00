"""The best pairs over all queries and references, in memory bounded by their number and one block."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from threading import Lock

import numpy as np

from ..errors import SearchError
from ..threads import cpu_count
from .blocks import Block, Blocks, Scanned, Scanner, streamed
from .pairs import (
    QUERY_ROWS,
    REFERENCE_ROWS,
    Float32,
    Indices,
    Offsets,
    Pairs,
    Ranks,
    Rows,
    blocks,
    check_dimensions,
    load,
)

_MOST_AT_ONCE = 1 << 20  # pairs that one step of the scan may find
_SAMPLE_QUERIES = 512
_SAMPLE_RUNS = 64
_SAMPLE_RUN_ROWS = 64


class _Best:
    """The K best pairs seen so far, and the distance that a newcomer must not exceed."""

    def __init__(self, k: int, ranks: Ranks, limit: float, offsets: Offsets | None) -> None:
        self.limit = limit
        self._offsets = offsets
        self._k = k
        self._ranks = ranks
        self._parts: list[Pairs] = []
        self._size = 0
        self._adding = Lock()

    def limits(self, first: int, count: int) -> float | Offsets:
        """What the squared distances of newcomers must not exceed, for queries first <= query < first + count.

        With offsets, one for each; rounding must not lose a pair, so that they are wide by some units in the last place.
        """
        if self._offsets is None:
            return self.limit
        offsets = self._offsets[first : first + count]
        return self.limit - offsets + 2.0**-50 * (abs(self.limit) + np.abs(offsets))

    def add(self, pairs: Pairs) -> None:
        if self._offsets is not None:
            pairs = pairs.moved(self._offsets)
            pairs = pairs[pairs.distances <= self.limit]
        with self._adding:
            self._parts.append(pairs)
            self._size += len(pairs)
            if self._size > 2 * self._k + 1_000_000:
                self._trim()

    def _trim(self) -> None:
        pairs = Pairs.join(self._parts)
        if len(pairs) > self._k:
            self.limit = float(np.partition(pairs.distances, self._k - 1)[self._k - 1])
            pairs = self._cut(pairs)
        self._parts, self._size = [pairs], len(pairs)

    def _cut(self, pairs: Pairs) -> Pairs:
        """The K best of more than K, in no order: all below the limit, and of those at it the first by their ids."""
        below, at = pairs[pairs.distances < self.limit], pairs[pairs.distances == self.limit]
        return Pairs.join([below, at[self._ranks.order(at)[: self._k - len(below)]]])

    def result(self) -> Pairs:
        """The K best, in order."""
        self._trim()
        return self._ranks.sorted(self._parts[0])


def top_pairs(
    queries: Rows,
    references: Rows,
    k: int,
    *,
    query_ranks: Indices,
    reference_ranks: Indices,
    offsets: Offsets | None = None,
    query_rows: int = QUERY_ROWS,
    reference_rows: int = REFERENCE_ROWS,
    threads: int | None = None,
    scanner: Scanner | None = None,
) -> Pairs:
    """The k pairs of smallest Euclidean distance, best first, ties by query id, then reference id; all pairs if fewer.

    With offsets of the queries, the k pairs whose squared distance is smallest with the offset of its query added.

    queries [N, D] are loaded whole, references [M, D] block by block; float32 arrays or HDF5 datasets. Ranks as from
    ``id_ranks``. The block sizes bound the memory and never change the result. threads: all processors by default. scanner: who
    proposes pairs, in blocks of its own size (default: the native core).
    Raises: SearchError on bad values, different dimensions, or k < 1.
    """
    check_dimensions(queries, references)
    ranks = Ranks(np.asarray(query_ranks), np.asarray(reference_ranks))
    rows = load(queries, 0, queries.shape[0])
    scanned = streamed(references, reference_rows, scanner)
    how = {"query_rows": query_rows, "lanes": 1 if scanner is None else scanner.lanes}
    return top_in_blocks(rows, scanned, k, ranks, threads or cpu_count(), offsets=offsets, **how)


def top_in_blocks(
    queries: Float32,
    references: Blocks[Scanned],
    k: int,
    ranks: Ranks,
    threads: int,
    *,
    offsets: Offsets | None = None,
    query_rows: int = QUERY_ROWS,
    count: int | None = None,
    lanes: int = 1,
) -> Pairs:
    """The same for rows that have been checked; count: how many references there are where not all of them count; lanes: blocks
    of queries that are scanned side by side.

    Raises: SearchError on k < 1.
    """
    if k < 1:
        raise SearchError("k must be at least 1")
    wanted = min(k, len(queries) * (references.shape[0] if count is None else count))
    parts = list(blocks(queries, query_rows))
    for limit in (_guess_limit(queries, references, wanted, offsets), np.inf):
        best = _Best(wanted, ranks, limit, offsets)
        if wanted:
            _scan(parts, references, best, threads, lanes)
        result = best.result()
        if len(result) == wanted:  # otherwise the guess was too tight, and a second pass goes without one
            break
    return result


def _scan(
    queries: list[tuple[int, Float32]], references: Blocks[Scanned], best: _Best, threads: int, lanes: int
) -> None:
    """The limit only gets tighter, so that one which is out of date costs time and no pair."""
    firsts, parts = [first for first, _ in queries], [part for _, part in queries]
    with ThreadPoolExecutor(lanes) if lanes > 1 else nullcontext() as pool:
        side_by_side = map if pool is None else pool.map
        for block in references:
            step = partial(_scan_block, block=block, best=best, threads=threads)
            for _ in side_by_side(step, parts, firsts):
                pass


def _scan_block(queries: Float32, first: int, block: Block[Scanned], best: _Best, threads: int) -> None:
    """Halves the queries until no step finds too many pairs: a limit that lets everything pass costs time, not memory."""
    most = max(_MOST_AT_ONCE, len(block.rows))
    limits = best.limits(first, len(queries))
    found = block.rows.within(queries, limits, most=most, alive=block.alive, threads=threads)
    if found is not None:
        best.add(Pairs(found[0] + first, found[1] + block.start, found[2]))
        return
    half = len(queries) // 2
    _scan_block(queries[:half], first, block, best, threads)
    _scan_block(queries[half:], first + half, block, best, threads)


def _guess_limit(queries: Float32, references: Blocks[Scanned], wanted: int, offsets: Offsets | None) -> float:
    """A distance that, by a sample of the pairs, somewhat more than ``wanted`` pairs do not exceed."""
    total = len(queries) * references.shape[0]
    if total < 4_000_000:
        return np.inf
    sampled = slice(None, None, max(1, len(queries) // _SAMPLE_QUERIES))
    sample = queries[sampled][:_SAMPLE_QUERIES]
    step = max(_SAMPLE_RUN_ROWS, references.shape[0] // _SAMPLE_RUNS)
    runs = [load(references, start, start + _SAMPLE_RUN_ROWS) for start in range(0, references.shape[0], step)]
    rows = np.concatenate(runs)
    distances = (sample**2).sum(1)[:, None] + (rows**2).sum(1) - 2.0 * (sample @ rows.T)
    if offsets is not None:
        distances = distances + offsets[sampled][:_SAMPLE_QUERIES, None]
    expected = wanted / total * distances.size
    rank = int(expected + 6.0 * expected**0.5 + 20.0)  # enough even where the sample was unlucky
    if rank >= distances.size:
        return np.inf
    # The sample is computed in float32; the limit may only be too wide by its rounding, never too narrow.
    longest = float((sample**2).sum(1).max()) + float((rows**2).sum(1).max())
    rounding = 4.0 * (rows.shape[1] + 8) * 2.0**-24 * longest
    return float(np.partition(distances, rank, axis=None)[rank] + rounding)
