"""Joins the review queue and score: a collection's two thresholds from what people have decided."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .collection import Reviews, StoredThresholds, Thresholds
from .collection.reading import PathLike
from .errors import ScoreError
from .score import Ranking, find_threshold

FEWEST = 20
FEWEST_OF_A_KIND = 5
REVIEW_RECALL = 0.98


@dataclass(frozen=True, slots=True)
class CalibratedThresholds:
    """before, after: the thresholds. accepted, rejected: decisions there were.

    precision: of the decided pairs that are matches now, None where none is. missed: accepted pairs that would not be reviewed
    any more.
    """

    before: Thresholds
    after: Thresholds
    accepted: int
    rejected: int
    precision: float | None
    missed: int


def calibrate_collection(path: PathLike, precision: float = 0.95, *, who: str = "calibrate") -> CalibratedThresholds:
    """Set the thresholds of a collection from the decisions in its review queue; also while it is served.

    match: what keeps ``precision`` among decided pairs on queries like these, with 97.5 % probability (the upper end of the
    bootstrap's interval); where none does, as it was, and above all that was decided. review: what 98 % of the accepted pairs
    reach. Decisions tell of pairs that were reviewed alone, so that neither can be far from where they were.
    who: for the audit log.
    Raises: ScoreError for fewer than 20 decisions, or fewer than 5 of a kind; CollectionError; ValueError for a precision that
    is not in (0, 1].
    """
    with Reviews(path) as reviews, StoredThresholds(path) as stored:
        decisions = reviews.decisions()
        accepted = sum(one.accepted for one in decisions)
        rejected = len(decisions) - accepted
        if len(decisions) < FEWEST or min(accepted, rejected) < FEWEST_OF_A_KIND:
            raise ScoreError(
                f"{path}: {accepted} accepted and {rejected} rejected pairs are too few to set thresholds by: "
                f"{FEWEST} are needed, and of each kind {FEWEST_OF_A_KIND}"
            )
        values = np.array([one.probability for one in decisions])
        right = np.array([one.accepted for one in decisions])
        before = stored.current()
        match = _match_threshold(values, right, [one.query for one in decisions], precision)
        review = float(np.quantile(values[right], 1.0 - REVIEW_RECALL, method="lower"))
        if match is None:
            match = max(before.match, min(1.0, float(np.nextafter(values.max(), 2.0))))
        after = Thresholds(match, min(review, match))
        stored.set(after, who)
    taken = values >= after.match
    return CalibratedThresholds(
        before,
        after,
        accepted,
        rejected,
        float(right[taken].mean()) if taken.any() else None,
        int((right & (values < after.review)).sum()),
    )


def _match_threshold(
    values: NDArray[np.float64], right: NDArray[np.bool_], queries: list[str], precision: float
) -> float | None:
    """None where no threshold keeps the precision."""
    _, numbers = np.unique(queries, return_inverse=True)
    order = np.lexsort((right, -values))
    ranking = Ranking(values[order], right[order], numbers[order].astype(np.int64), int(right.sum()))
    try:
        return find_threshold(ranking, int(numbers.max()) + 1, precision=precision).threshold_high
    except ScoreError:
        return None
