"""Matching by the rule of ISC2021's third place (``match.isc2021``), beside our own: the same references, views and index."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .local_recall import LocalRecall
from .match import isc2021
from .match.evidence import make_evidence
from .match.features import LocalFeatures
from .match.isc2021 import Convention, match_score, recalled
from .match.probability import sigmoid
from .match.verification import NONE
from .matches import Match, Matched
from .pictures import Picture
from .references import References

Rule = Literal["copytrace", "isc2021", "isc2021-plain"]
"""Ours; the published one as its code computes ratios, of squared distances; the same as its text says, of distances."""

CONVENTIONS: dict[str, Convention] = {"isc2021": isc2021.SQUARED, "isc2021-plain": isc2021.PLAIN}
BRANCHES = ("global", "local", "local of the region")


class PublishedMatcher:
    """Adds up, for every reference, its match scores in the branches that recall it.

    recall: the local features of all references. convention: what the ratio test compares.
    """

    def __init__(self, recall: LocalRecall, convention: Convention) -> None:
        self._recall = recall
        self._convention = convention

    def matched(self, query: Picture, nearest: NDArray[np.int64], references: References) -> Matched:
        """The references of a query made by ``Looks.branches``, the highest score first.

        nearest: the numbers of the references that the global branch recalls. A match's score is the sum, a whole number; its
        evidence has the branches' parts.
        """
        assert query.features is not None
        region = query.region_features
        scores: dict[int, dict[str, int]] = {}
        recalls: list[tuple[str, LocalFeatures, list[int]]] = [
            (BRANCHES[0], region or query.features, nearest.tolist()),
            (BRANCHES[1], query.features, self._recalled(query.features)),
        ]
        if region is not None:
            recalls.append((BRANCHES[2], region, self._recalled(region)))
        for branch, features, numbers in recalls:
            for number in numbers:
                score = match_score(features, references.features[number], self._convention)
                scores.setdefault(number, {})[branch] = score
        matches = [self._match(query, number, parts, references) for number, parts in scores.items()]
        return Matched(query.id, sorted(matches, key=lambda match: (-match.score, match.reference_id)))

    def _recalled(self, features: LocalFeatures) -> list[int]:
        """The one reference that features recall, or none."""
        number = recalled(*self._recall.nearest(features))
        return [] if number is None else [number]

    def _match(self, query: Picture, number: int, parts: dict[str, int], references: References) -> Match:
        assert query.features is not None
        view = len(query.views) - 1  # the region where there is one, as in the global branch
        difference = query.descriptors[view].astype(np.float64) - references.descriptors[number : number + 1]
        similarity = -float(np.square(difference).sum())
        score = float(sum(parts.values()))
        probability = float(sigmoid(np.array(isc2021.log_odds(score, self._convention))))
        evidence = make_evidence(
            (query.id, references.ids[number]),
            (query.features, references.features[number]),
            NONE,
            scores={**parts, "similarity": similarity, "score": score, "probability": probability},
            view=query.views[view].label,
        )
        return Match(evidence.reference_id, score, probability, similarity, evidence.view, 0, evidence)
