"""The k nearest references of every query where all that can be asked is which lie within a distance, as a card answers it."""

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .blocks import Blocks, Scanned
from .pairs import QUERY_ROWS, Float32, Indices, Pairs, Ranks, load

_SAMPLE = 4096  # references, at least
_SAMPLE_RUN = 64  # of neighbours among them
_SPARE = 1 << 20  # pairs held beside twice the best


class _Nearest:
    """The k nearest of every query so far, and the squared distances that newcomers must not exceed (``limits``, [N])."""

    def __init__(self, count: int, k: int, ranks: Ranks, limits: NDArray[np.float64]) -> None:
        self.limits = limits
        self._k = k
        self._ranks = ranks
        self._parts: list[Pairs] = []
        self._size = 0
        self._room = 2 * count * k + _SPARE

    def add(self, pairs: Pairs) -> None:
        self._parts.append(pairs)
        self._size += len(pairs)
        if self._size > self._room:
            self.trim()

    def trim(self) -> Pairs:
        """Forget all but the k nearest of each query."""
        pairs = Pairs.join(self._parts)
        pairs = pairs[np.lexsort((self._ranks.references[pairs.references], pairs.distances, pairs.queries))]
        places = np.arange(len(pairs)) - np.searchsorted(pairs.queries, pairs.queries)
        last = pairs[places == self._k - 1]
        self.limits[last.queries] = np.minimum(self.limits[last.queries], last.distances)
        pairs = pairs[places < self._k]
        self._parts, self._size = [pairs], len(pairs)
        return pairs


def nearest_by_limits(queries: Float32, references: Blocks[Scanned], k: int, ranks: Ranks, threads: int) -> Pairs:
    """As ``nearest_in_blocks``, for blocks all of whose rows count.

    A sample of the references gives each query a distance within which it has k; from then on the k-th found so far does.
    """
    best = _Nearest(len(queries), k, ranks, _first_limits(queries, references, k, threads))
    for block in references:
        for first in range(0, len(queries), QUERY_ROWS):
            part = slice(first, first + QUERY_ROWS)
            found = block.rows.within(queries[part], best.limits[part], alive=block.alive, threads=threads)
            assert found is not None, "no bound was given on their number"
            best.add(Pairs(found[0] + first, found[1] + block.start, found[2]))
    return ranks.sorted(best.trim())


def _first_limits(queries: Float32, references: Blocks[Scanned], k: int, threads: int) -> NDArray[np.float64]:
    """The squared distance of each query's k-th nearest in a sample, infinite where that has fewer rows: float64 [N]."""
    count = references.shape[0]
    runs = -(-max(_SAMPLE, 32 * k) // _SAMPLE_RUN)
    starts: Indices = np.unique(
        np.linspace(0, max(0, count - _SAMPLE_RUN), runs).astype(np.int64) // _SAMPLE_RUN * _SAMPLE_RUN
    )
    sample = np.concatenate([load(references, int(s), int(s) + _SAMPLE_RUN) for s in starts])
    limits = np.full(len(queries), np.inf)
    if len(sample) >= k:
        search = _core.NearestSearch(queries, k)
        search.add(_core.References(sample), 0, np.arange(len(sample)), threads=threads)
        limits[:] = search.result(threads=threads)[2].reshape(len(queries), k)[:, -1]
    return limits
