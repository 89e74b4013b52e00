"""All pairs of two blocks within a distance: the native core proposes in float32, float64 decides."""

import numpy as np

from .. import _core
from ._pairs import squared_distances
from .pairs import Float32, Pairs


def rounding(dimension: int, *longest_squares: float) -> float:
    """A bound on the error of squared distances computed in float32 as |q|^2 + |r|^2 - 2 q.r, for rows no longer than these."""
    return 4.0 * (dimension + 8) * 2.0**-24 * sum(longest_squares)


class Queries:
    """Queries [N, D] with what every block needs of them."""

    def __init__(self, rows: Float32) -> None:
        self.rows = rows
        self.augmented = np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1)
        self.squares = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
        self.longest = float(self.squares.max(initial=0.0))


class Block:
    """One block of references [M, D], ready to be scanned for pairs within a distance.

    The distance is turned into an inner product with one more column: |q - r|^2 <= L where
    (q, 1) . (r, -|r|^2 / 2) >= (|q|^2 - L) / 2.
    """

    def __init__(self, references: Float32) -> None:
        self.references = references
        half_squares = np.einsum("nd,nd->n", references, references)[:, None] / np.float32(-2.0)
        self._scan = _core.Scan(np.concatenate([references, half_squares], axis=1))
        self._longest = float(-2.0 * half_squares.min(initial=0.0))

    def within(self, queries: Queries, limit: float, threads: int) -> Pairs:
        """All pairs with squared distance <= limit, exactly; row numbers count inside the two blocks."""
        slack = rounding(self.references.shape[1], queries.longest, self._longest)
        with np.errstate(over="ignore"):  # a limit beyond float32 lets everything pass
            thresholds = ((queries.squares - (limit + slack)) / 2).astype(np.float32)
        thresholds = np.nextafter(thresholds, np.float32(-np.inf))  # the scan asks for more than, not for at least
        rows, columns = self._scan.above(queries.augmented, thresholds, threads=threads)
        pairs = Pairs(rows, columns, squared_distances(queries.rows, self.references, rows, columns))
        return pairs[pairs.distances <= limit]
