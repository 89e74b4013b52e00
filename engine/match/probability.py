"""The probability that a pair is a copy: a logistic model of few numbers over what the second look found.

``copytrace.train.bundles.matching`` fits it on attacked training photographs; the numbers are stored in the bundle as JSON.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MatchError
from .aligned import Alignment
from .verification import Verification

FORMAT = 2
_FEWEST_FITTED = 10  # inliers; fewer follow the map too closely for a misfit to mean anything
_LEAST_MISFIT = 0.3  # pixels; nine in ten attacked copies have less
TERMS = (
    "constant",
    "cosine",
    "inliers",
    "a map",
    "cosine with a map",
    "share of matches",
    "spread",
    "correlation",
    "overlap",
    "misfit",
    "chances",
)


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """What is known about one pair.

    cosine: the best view's global similarity. inliers, matches, spread: of ``Verification``. correlation, overlap: of
    ``Alignment``, the larger share of the two pictures. misfit: of ``misfit``, in pixels. chances: in how many ways the pair
    could have come about, the number of the query's views.
    """

    cosine: float
    inliers: int
    matches: int
    spread: float
    correlation: float
    overlap: float
    misfit: float
    chances: int

    @classmethod
    def of(
        cls, cosine: float, found: Verification, alignment: Alignment, misfit: float, chances: int
    ) -> "PairFeatures":
        overlap = max(alignment.query_share, alignment.reference_share)
        return cls(cosine, found.inliers, found.matches, found.spread, alignment.correlation, overlap, misfit, chances)


def terms(pairs: Sequence[PairFeatures]) -> NDArray[np.float64]:
    """The model's inputs float64 [N, 11], in the order of ``TERMS``.

    Of a pair without a map all are 0 that need one; "a map" says so, and keeps that from being taken for a bad one. What misfit
    says grows with the root of the number of matches that say it.
    Raises: ValueError for numbers that are not finite, for negative counts and for less than one chance.
    """
    rows = np.array(
        [(p.cosine, p.inliers, p.matches, p.spread, p.correlation, p.overlap, p.misfit, p.chances) for p in pairs],
        np.float64,
    ).reshape(-1, 8)
    cosine, inliers, matches, spread, correlation, overlap, misfit, chances = rows.T
    if not np.isfinite(rows).all() or (rows[:, 1:7] < 0).any() or (chances < 1).any():
        raise ValueError("pair features must be finite, counts not negative, and there must be at least one chance")
    return np.stack(
        [
            np.ones(len(rows)),
            cosine,
            np.log1p(inliers),
            (inliers > 0).astype(np.float64),
            cosine * (inliers > 0),
            inliers / np.maximum(matches, 1.0),
            np.log1p(spread),
            correlation,
            overlap,
            np.where(inliers >= _FEWEST_FITTED, np.maximum(0.0, misfit - _LEAST_MISFIT) * np.sqrt(inliers), 0.0),
            np.log(chances),
        ],
        axis=1,
    )


@dataclass(frozen=True, slots=True)
class PairModel:
    """One weight for every one of ``TERMS``. Raises ValueError for another number of them, or values that are not finite."""

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.weights) != len(TERMS) or not all(math.isfinite(weight) for weight in self.weights):
            raise ValueError(f"there must be {len(TERMS)} finite weights")

    def logits(self, pairs: Sequence[PairFeatures]) -> NDArray[np.float64]:
        """Log odds float64 [N]: a score that does not saturate."""
        return np.asarray(terms(pairs) @ np.array(self.weights))

    def predict(self, pairs: Sequence[PairFeatures]) -> NDArray[np.float64]:
        """Probabilities float64 [N], each of one pair for itself."""
        return sigmoid(self.logits(pairs))

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, "weights": dict(zip(TERMS, self.weights, strict=True))}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "PairModel":
        """The inverse of ``to_json``. Raises: MatchError."""
        try:
            table: dict[str, Any] = json.loads(text)
            if table["format"] != FORMAT:
                raise ValueError(f"its format is {table['format']}, this engine reads {FORMAT}")
            if set(table["weights"]) != set(TERMS):
                raise ValueError(f"its terms must be {', '.join(TERMS)}")
            return cls(tuple(float(table["weights"][name]) for name in TERMS))
        except (ValueError, TypeError, KeyError) as error:
            raise MatchError(f"not a model of pairs: {error}") from None


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1.0, small) / (1.0 + small))
