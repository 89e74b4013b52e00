"""From scores to verdicts: a probability by the bundle's constants, and two thresholds of the collection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..errors import ServiceError
from ..match.aligned import NOTHING
from ..match.probability import PairFeatures, PairModel, sigmoid
from ..match.verification import NONE
from .forms import Verdict

PROPERTY = "thresholds"
"""The collection's property that holds them: {"match": probability, "review": probability}."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities from which on a pair is a match, or is to be reviewed."""

    match: float = 0.9
    review: float = 0.5

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> "Thresholds":
        """Raises: ServiceError for values that are none."""
        given = properties.get(PROPERTY, {})
        try:
            values = {name: float(value) for name, value in dict(given).items()}
            found = cls(**values)
        except (TypeError, ValueError):
            raise ServiceError(f"the collection's thresholds must be match and review, not {given!r}") from None
        if not 0.0 <= found.review <= found.match <= 1.0:
            raise ServiceError(f"thresholds must be 0 <= review <= match <= 1, not {given!r}")
        return found

    def verdict(self, probability: float) -> Verdict:
        if probability >= self.match:
            return "match"
        return "review" if probability >= self.review else "no match"


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
