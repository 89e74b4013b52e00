"""Probabilities of pairs without a second look, by the bundle's constants."""

from collections.abc import Sequence
from functools import cache
from math import exp

from ..match.aligned import NOTHING
from ..match.probability import PairFeatures, PairModel
from ..match.verification import NONE


def similarity_probabilities(model: PairModel, scores: Sequence[float]) -> list[float]:
    """Probabilities of pairs of which no more than the score, -(squared distance), is known."""
    at_zero, slope = _line(model)
    return [_sigmoid(at_zero + slope * (1.0 + score / 2.0)) for score in scores]


def _sigmoid(logit: float) -> float:
    """For the ten scores of an answer, numpy's way takes three times as long."""
    small = exp(-abs(logit))
    return (1.0 if logit >= 0 else small) / (1.0 + small)


@cache
def _line(model: PairModel) -> tuple[float, float]:
    """The log odds of such a pair with the cosine 0, and what a cosine of 1 adds: nothing else of it varies."""
    at_zero, at_one = model.logits([PairFeatures.of(cosine, NONE, NOTHING, 0.0, 1) for cosine in (0.0, 1.0)]).tolist()
    return at_zero, at_one - at_zero
