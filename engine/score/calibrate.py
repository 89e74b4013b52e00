"""The threshold that keeps a wanted precision, or a wanted number of false matches per query, and how sure it is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError
from .metric import Ranking

RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Calibration:
    """A pair counts as a match when its score is at least ``threshold``; what holds there on the given pairs.

    ``threshold_low`` and ``threshold_high`` bound the threshold that other queries of the same kind would have given, with
    probability ``confidence`` (percentile bootstrap over queries).
    """

    threshold: float
    threshold_low: float
    threshold_high: float
    confidence: float
    precision: float
    recall: float
    false_matches_per_query: float
    matches: int


def find_threshold(
    ranking: Ranking,
    queries: int,
    *,
    precision: float | None = None,
    false_matches_per_query: float | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Calibration:
    """The lowest threshold that keeps ``precision``, or at most ``false_matches_per_query``; give one of the two.

    queries: how many labelled queries there are. Use a ranking without the challenge's cap.
    Raises: ScoreError when no threshold does; ValueError for arguments out of range.
    """
    if (precision is None) == (false_matches_per_query is None):
        raise ValueError("give either precision or false_matches_per_query")
    if precision is not None and not 0.0 < precision <= 1.0:
        raise ValueError("precision must lie in (0, 1]")
    if false_matches_per_query is not None and false_matches_per_query < 0.0:
        raise ValueError("false_matches_per_query must be at least 0")
    if not 0.0 < confidence < 1.0:
        raise ValueError("confidence must lie in (0, 1)")
    scores = ranking.scores
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else np.empty(0, np.int64)

    def cut(weights: NDArray[np.float64]) -> int | None:
        """The last row above the threshold, were every query there as often as its weight says."""
        right = np.cumsum(weights * ranking.right)[ends]
        taken = np.cumsum(weights)[ends]
        if precision is not None:
            good = (right >= precision * taken - 1e-9) & (taken > 0)
        else:
            good = taken - right <= (false_matches_per_query or 0.0) * queries + 1e-9
            good &= np.cumprod(good, dtype=bool)
        rows = np.flatnonzero(good)
        return int(ends[rows[-1]]) if len(rows) else None

    row = cut(np.ones(len(scores)))
    if row is None:
        raise ScoreError("no threshold keeps the wanted rate: the best-scored pairs are wrong already")
    thresholds = _resampled(ranking, queries, cut, seed)
    low, high = np.quantile(thresholds, [(1 - confidence) / 2, (1 + confidence) / 2])
    right = int(ranking.right[: row + 1].sum())
    return Calibration(
        threshold=float(scores[row]),
        threshold_low=float(low),
        threshold_high=float(high),
        confidence=confidence,
        precision=right / (row + 1),
        recall=right / ranking.positives,
        false_matches_per_query=(row + 1 - right) / queries,
        matches=row + 1,
    )


def _resampled(
    ranking: Ranking, queries: int, cut: Callable[[NDArray[np.float64]], int | None], seed: int
) -> NDArray[np.float64]:
    """Thresholds found on queries drawn again with replacement; where none keeps the rate, the best score of all."""
    rng = np.random.default_rng(seed)
    rows = np.where(ranking.queries >= 0, ranking.queries, queries)
    thresholds = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = np.bincount(rng.integers(0, queries, queries), minlength=queries + 1).astype(np.float64)
        drawn[queries] = 1.0  # unlabelled queries, where kept, stay as they are
        row = cut(drawn[rows])
        thresholds[i] = ranking.scores[0 if row is None else row]
    return thresholds
