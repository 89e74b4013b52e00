"""Probabilities of pairs without a second look, by the bundle's constants."""

from collections.abc import Sequence

from ..match.aligned import NOTHING
from ..match.probability import PairFeatures, PairModel
from ..match.verification import NONE


def similarity_probabilities(model: PairModel, scores: Sequence[float]) -> list[float]:
    """Probabilities of pairs of which no more than the score, -(squared distance), is known."""
    pairs = [PairFeatures.of(1.0 + score / 2.0, NONE, NOTHING, 0.0, 1) for score in scores]
    return [float(value) for value in model.predict(pairs)]
