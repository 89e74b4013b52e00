"""What becomes of every labelled query at a threshold: each counts once, by its best-scored pair."""

from collections.abc import Mapping
from dataclasses import dataclass

from .tables import GroundTruth, ScoredPairs

KINDS = {
    "found": "Copies found",
    "wrong": "Copies taken for another reference",
    "missed": "Copies missed",
    "false": "False matches",
    "rejected": "Rightly rejected",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A query's best pair and what it is worth.

    kind: of a copy, found (its best pair is right and scores at least the threshold), wrong (another reference does) or missed
    (nothing does); of a query without a copy, false (something does) or rejected.
    reference, score: of the best pair; None where the query has no pair. expected: the references it is a copy of. label: the
    edit class, "" where it is not known.
    """

    kind: str
    query: str
    reference: str | None
    score: float | None
    expected: tuple[str, ...]
    label: str = ""

    @property
    def right(self) -> bool:
        return self.reference in self.expected


def verdicts(
    pairs: ScoredPairs, truth: GroundTruth, threshold: float | None, labels: Mapping[str, str] | None = None
) -> list[Verdict]:
    """One verdict per labelled query, best scores first. Of pairs with equal scores the wrong one counts, as in the metric.

    threshold: None where there is none, so that no pair is a match.
    """
    best: dict[str, tuple[float, bool, str]] = {}
    for query, reference, value in zip(pairs.queries, pairs.references, pairs.scores.tolist(), strict=True):
        row = (-value, (query, reference) in truth.positives, reference)
        best[query] = min(row, best.get(query, row))
    found = []
    for query, expected in truth.references().items():
        pair = best.get(query)
        score, name = (None, None) if pair is None else (0.0 - pair[0], pair[2])
        if score is None or threshold is None or score < threshold:
            kind = "missed" if expected else "rejected"
        else:
            kind = "found" if name in expected else "wrong" if expected else "false"
        label = (labels or {}).get(query, "")
        found.append(Verdict(kind, query, name, score, tuple(expected), label))
    return sorted(found, key=lambda verdict: (verdict.score is None, -(verdict.score or 0.0), verdict.query))
