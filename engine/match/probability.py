"""The probability that a pair is a copy: two logistic models of few numbers over what the second look found.

::

    P(copy) = P(related) P(same photograph | related)

Two pictures are related when one is a copy of the other, or when both are photographs of one thing. The first model tells
related pairs from what agrees by chance; the second one, asked where enough matches agree, tells copies from other shots by how
well places and pixels fit. A copy that was bent fits no better than another shot does, so the second model never says less than
``LEAST_SAME``: such pairs still stand before all that have nothing to do with each other.

``copytrace.train.bundles`` fits both on attacked training photographs and on several photographs of one scene; the numbers are
stored in the bundle as JSON.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import MatchError
from ..strict_json import numbers, read_object
from .aligned import Alignment
from .verification import Verification

FORMAT = 3
RELATED = (
    "constant",
    "cosine",
    "inliers",
    "a map",
    "cosine with a map",
    "share of matches",
    "spread",
    "correlation",
    "overlap",
    "chances",
)
SAME = ("constant", "inliers", "overlap", "correlation", "share of matches", "misfit", "misfit by inliers")
FEWEST_COMPARED = 5
"""Inliers; of pairs with fewer nothing tells copies from other shots, and other shots hardly reach them by chance."""
LEAST_SAME = -2.0
"""Log odds; chosen so that bent copies, which are rare, keep their place before unrelated pairs."""
_FEWEST_FITTED = 10  # inliers; fewer follow the map too closely for a misfit to mean anything
_USUAL_MISFIT = 0.4  # pixels; half of the term's range lies below, where nine in ten attacked copies are


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


def columns(pairs: Sequence[PairFeatures]) -> NDArray[np.float64]:
    """The pairs' numbers float64 [8, N], in the order of ``PairFeatures``.

    Raises: ValueError for numbers that are not finite, for negative counts and for less than one chance.
    """
    rows = np.array(
        [(p.cosine, p.inliers, p.matches, p.spread, p.correlation, p.overlap, p.misfit, p.chances) for p in pairs],
        np.float64,
    ).reshape(-1, 8)
    if not np.isfinite(rows).all() or (rows[:, 1:7] < 0).any() or (rows[:, 7] < 1).any():
        raise ValueError("pair features must be finite, counts not negative, and there must be at least one chance")
    return rows.T


def related_terms(pairs: Sequence[PairFeatures]) -> NDArray[np.float64]:
    """The first model's inputs float64 [N, 10], in the order of ``RELATED``.

    Of a pair without a map all are 0 that need one; "a map" says so, and keeps that from being taken for a bad one.
    Raises: ValueError, see ``columns``.
    """
    cosine, inliers, matches, spread, correlation, overlap, _, chances = columns(pairs)
    return np.stack(
        [
            np.ones(len(pairs)),
            cosine,
            np.log1p(inliers),
            (inliers > 0).astype(np.float64),
            cosine * (inliers > 0),
            inliers / np.maximum(matches, 1.0),
            np.log1p(spread),
            correlation,
            overlap,
            np.log(chances),
        ],
        axis=1,
    )


def same_terms(pairs: Sequence[PairFeatures]) -> NDArray[np.float64]:
    """The second model's inputs float64 [N, 7], in the order of ``SAME``.

    Beyond some pixels a larger misfit says no more, so its term lies between 0 and 1. What it says grows with the number of
    matches that say it.
    Raises: ValueError, see ``columns``.
    """
    _, inliers, matches, _, correlation, overlap, misfit, _ = columns(pairs)
    off = np.where(inliers >= _FEWEST_FITTED, misfit / (misfit + _USUAL_MISFIT), 0.0)
    many = np.log1p(inliers)
    return np.stack(
        [np.ones(len(pairs)), many, overlap, correlation, inliers / np.maximum(matches, 1.0), off, off * many], axis=1
    )


def compared(pairs: Sequence[PairFeatures]) -> NDArray[np.bool_]:
    """Of which pairs the second model is asked, bool [N]."""
    return np.array([pair.inliers >= FEWEST_COMPARED for pair in pairs], bool)


@dataclass(frozen=True, slots=True)
class PairModel:
    """One weight for every one of ``RELATED`` and of ``SAME``.

    Raises ValueError for another number of them, or values that are not finite.
    """

    related: tuple[float, ...]
    same: tuple[float, ...]

    def __post_init__(self) -> None:
        for weights, names in ((self.related, RELATED), (self.same, SAME)):
            if len(weights) != len(names) or not all(math.isfinite(weight) for weight in weights):
                raise ValueError(f"there must be {len(names)} finite weights for {', '.join(names)}")

    def logits(self, pairs: Sequence[PairFeatures]) -> NDArray[np.float64]:
        """Log odds float64 [N]: a score that does not saturate."""
        related = related_terms(pairs) @ np.array(self.related)
        same = np.maximum(LEAST_SAME, same_terms(pairs) @ np.array(self.same))
        return np.where(compared(pairs), both(related, same), related)

    def predict(self, pairs: Sequence[PairFeatures]) -> NDArray[np.float64]:
        """Probabilities float64 [N], each of one pair for itself."""
        return sigmoid(self.logits(pairs))

    def to_json(self) -> str:
        weights = (("related", RELATED, self.related), ("same", SAME, self.same))
        return json.dumps({"format": FORMAT} | {key: dict(zip(n, w, strict=True)) for key, n, w in weights}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "PairModel":
        """The inverse of ``to_json``. Raises: MatchError."""
        try:
            table = read_object(text, FORMAT, "related", "same")
            return cls(tuple(numbers(table["related"], RELATED)), tuple(numbers(table["same"], SAME)))
        except ValueError as error:
            raise MatchError(f"not a model of pairs: {error}") from None


def both(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds of two independent things together, from the log odds of each, without overflow."""
    return np.asarray(-np.logaddexp(np.logaddexp(-first, -second), -first - second))


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1.0, small) / (1.0 + small))
