"""Probabilities of pairs without a second look, by the bundle's constants."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from ..match.aligned import NOTHING
from ..match.probability import PairFeatures, PairModel, sigmoid
from ..match.verification import NONE


def similarity_probabilities(model: PairModel, scores: Sequence[float]) -> list[float]:
    """Probabilities of pairs of which no more than the score, -(squared distance), is known."""
    at_zero, slope = _line(model)
    cosines = 1.0 + np.asarray(scores, np.float64) / 2.0
    found: list[float] = sigmoid(at_zero + slope * cosines).tolist()
    return found


@cache
def _line(model: PairModel) -> tuple[float, float]:
    """The log odds of such a pair with the cosine 0, and what a cosine of 1 adds: nothing else of it varies."""
    at_zero, at_one = model.logits([PairFeatures.of(cosine, NONE, NOTHING, 0.0, 1) for cosine in (0.0, 1.0)]).tolist()
    return at_zero, at_one - at_zero
