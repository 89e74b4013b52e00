"""How much an approximate search finds: of a sample of queries, whose answers by exact search are collected row by row."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Distances = NDArray[np.float64]

QUERIES = 200
K = 10
_MOVED = 0.5
_WORTH_NOTHING = np.inf


class RecallSample:
    """rows: float32 [S, D] of references. Queries are those, each moved by noise half as long as it is, as an edit might.

    ``see`` is told the exact squared distances of the nearest of every part of the references; ``recall`` says which share of
    the ten nearest of all a search has found. Equal distances count as one another.
    """

    def __init__(self, rows: Float32, seed: int = 0) -> None:
        noise = np.random.default_rng(seed).standard_normal(rows.shape)
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        noise *= _MOVED * lengths / np.linalg.norm(noise, axis=1, keepdims=True)
        self.queries = (rows + noise).astype(np.float32)
        self._nearest = np.full((len(rows), K), _WORTH_NOTHING)

    def see(self, search: Callable[[Float32, int], Distances]) -> None:
        """search(queries, k): the exact squared distances [S, <= k] of the k nearest of some further references."""
        both = np.concatenate([self._nearest, search(self.queries, K)], axis=1)
        self._nearest = np.sort(both, axis=1)[:, :K]

    def recall(self, found: Distances) -> float:
        """found: squared distances [S, 10] of what was found, infinite where nothing was."""
        there = np.isfinite(self._nearest)
        limits = np.where(there, self._nearest, -np.inf).max(axis=1, keepdims=True)
        hits = (np.isfinite(found) & (found <= limits)).sum(axis=1)
        return float(np.minimum(hits, there.sum(axis=1)).sum() / max(1, there.sum()))
