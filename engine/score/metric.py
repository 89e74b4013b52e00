"""The challenge's metric: micro average precision over all pairs, and recall at 90 % precision."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError
from .tables import GroundTruth, ScoredPairs

PREDICTIONS_PER_QUERY = 10
RECALL_PRECISION = 0.9


@dataclass(frozen=True, slots=True)
class Ranking:
    """Pairs that count, best first, equal scores with the wrong ones first.

    scores float64 [P]; right bool [P]; queries int64 [P], positions in ``GroundTruth.queries`` (-1: unlabelled);
    positives: the number of right pairs there are, returned or not.
    """

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    queries: NDArray[np.int64]
    positives: int

    @property
    def recall(self) -> NDArray[np.float64]:
        return np.cumsum(self.right) / self.positives

    @property
    def precision(self) -> NDArray[np.float64]:
        return np.cumsum(self.right) / np.arange(1, len(self.right) + 1)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one ranking. ``threshold_at_p90`` is None where no threshold reaches 90 % precision."""

    micro_ap: float
    recall_at_p90: float
    threshold_at_p90: float | None
    positives: int
    pairs_used: int
    queries: int


def rank_pairs(pairs: ScoredPairs, truth: GroundTruth, *, drop_unlabelled: bool = True, cap: bool = True) -> Ranking:
    """Sort pairs and tell right from wrong, the way the challenge does.

    drop_unlabelled: leave out pairs of queries the ground truth does not list. cap: keep the best 10 pairs per labelled query,
    counted over all queries together.
    Raises: ScoreError when there are no positives.
    """
    if not truth.positives:
        raise ScoreError("the ground truth lists no copy, so there is nothing to recall")
    position: Mapping[str, int] = {name: i for i, name in enumerate(truth.queries)}
    queries = np.fromiter((position.get(name, -1) for name in pairs.queries), np.int64, len(pairs))
    right = np.fromiter(
        (pair in truth.positives for pair in zip(pairs.queries, pairs.references, strict=True)), np.bool_, len(pairs)
    )
    scores = pairs.scores
    if drop_unlabelled:
        known = queries >= 0
        scores, right, queries = scores[known], right[known], queries[known]
    order = np.lexsort((right, -scores))
    if cap:
        order = order[: PREDICTIONS_PER_QUERY * len(truth.queries)]
    return Ranking(scores[order], right[order], queries[order], len(truth.positives))


def evaluate_ranking(ranking: Ranking, queries: int) -> Evaluation:
    """micro-AP = sum over the rows of (R_i - R_{i-1}) P_i; recall@P90 = the greatest recall of a row with precision >= 0.9."""
    recall, precision = ranking.recall, ranking.precision
    reached = np.where(precision >= RECALL_PRECISION, recall, 0.0)
    best = int(reached.argmax()) if reached.any() else None  # the first row of the greatest recall
    return Evaluation(
        micro_ap=float((np.diff(recall, prepend=0.0) * precision).sum()),
        recall_at_p90=0.0 if best is None else float(recall[best]),
        threshold_at_p90=None if best is None else float(ranking.scores[best]),
        positives=ranking.positives,
        pairs_used=len(ranking.scores),
        queries=queries,
    )


def evaluate(pairs: ScoredPairs, truth: GroundTruth, *, drop_unlabelled: bool = True, cap: bool = True) -> Evaluation:
    """Score pairs against the ground truth; see :func:`rank_pairs` for the switches.

    Raises: ScoreError.
    """
    ranking = rank_pairs(pairs, truth, drop_unlabelled=drop_unlabelled, cap=cap)
    return evaluate_ranking(ranking, len(truth.queries))
