"""What matching answers: the references that were looked at for a query, weighed, with what speaks for each."""

from collections.abc import Sequence
from dataclasses import dataclass

from .match.drawing import embed_jpeg
from .match.evidence import Evidence, make_evidence
from .match.probability import PairFeatures, PairModel, sigmoid
from .match.verification import Verification
from .pictures import Picture
from .references import References

LIKELY = 0.5
"""From this probability on a pair counts as a copy."""


@dataclass(frozen=True, slots=True)
class Match:
    """A reference that was looked at for a query.

    score: log odds of a copy, higher is likelier; probability: the same, 0 to 1. similarity: -(squared distance) of the best
    view, ``view``, less the penalty of its kind.
    """

    reference_id: str
    score: float
    probability: float
    similarity: float
    view: str
    inliers: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Matched:
    """A query with its matches, the likeliest first; no matches and a reason where it could not be used."""

    query_id: str
    matches: list[Match]
    reason: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Look:
    """What one look at a pair found. view: the number of the query's; reference_view: the name of the reference's."""

    reference: int
    similarity: float
    view: int
    reference_view: str
    found: Verification
    features: PairFeatures


def weigh(
    query: Picture, looks: Sequence[Look], references: References, model: PairModel, *, pictures: bool
) -> Matched:
    """The matches of a query by what was found, the likeliest first. pictures: put small ones into the evidence."""
    scores = model.logits([look.features for look in looks])
    matches = [
        _match(query, look, references, (float(score), float(probability)), pictures)
        for look, score, probability in zip(looks, scores, sigmoid(scores), strict=True)
    ]
    return Matched(query.id, sorted(matches, key=lambda match: (-match.score, match.reference_id)))


def _match(query: Picture, look: Look, references: References, weighed: tuple[float, float], pictures: bool) -> Match:
    score, probability = weighed
    name, view = references.ids[look.reference], query.views[look.view].label
    scores = {
        "similarity": look.similarity,
        "correlation": look.features.correlation,
        "overlap": look.features.overlap,
        "score": score,
        "probability": probability,
    }
    ids, size = (query.id, name), references.sizes[look.reference]
    if query.features is None:
        evidence = Evidence(*ids, query.size, size, view, look.reference_view, scores=scores)
    else:
        images = _drawn(query, references, look.reference) if pictures else ("", "")
        features = query.features, references.features[look.reference]
        evidence = make_evidence(
            ids,
            features,
            look.found,
            scores=scores,
            view=view,
            reference_view=look.reference_view,
            images=images,
        )
    return Match(name, score, probability, look.similarity, view, look.found.inliers, evidence)


def _drawn(query: Picture, references: References, number: int) -> tuple[str, str]:
    return "" if query.grey is None else embed_jpeg(query.grey), embed_jpeg(references.thumbnails[number])
