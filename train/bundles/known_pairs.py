"""Pairs of which it is known whether they are copies, and the models of a pair that are fitted on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from copytrace.engine.match.probability import RELATED, SAME, PairFeatures, PairModel, compared
from copytrace.engine.matching import Matcher
from copytrace.engine.pictures import Picture

from .match_model import fit_related, fit_same, recalibrated
from .matching_queries import is_attacked

NOTHING = PairModel((0.0,) * len(RELATED), (0.0,) * len(SAME))
SCENE_COUNT = 0.1
"""How often a pair of the scenes counts: in use, one other shot for some three copies."""
_SURELY_RELATED = 8  # inliers; as many never agree by chance
_SAME_CORRELATION, _SAME_MISFIT = 0.85, 0.4


@dataclass(frozen=True)
class KnownPairs:
    """Pairs that are looked at, which are copies, and which are of attacked queries; counts: how often each counts."""

    pairs: list[PairFeatures]
    labels: NDArray[np.bool_]
    attacked: NDArray[np.bool_]
    counts: NDArray[np.float64]

    @classmethod
    def of(
        cls, matcher: Matcher, pictures: Sequence[Picture], right: Mapping[str, str], count: float = 1.0
    ) -> "KnownPairs":
        """All but those that would be called wrong though nothing tells them from copies: photographs of the references that
        are parts of one another.

        right: the reference's id of every picture, "" for none.
        """
        rows = [
            (look.features, matcher.references.ids[look.reference] == right[picture.id], is_attacked(picture.id))
            for picture, found in matcher.looks(pictures)
            for look in found
        ]
        rows = [row for row in rows if row[1] or not _same_photograph(row[0])]
        pairs, labels, attacked = zip(*rows, strict=True)
        return cls(list(pairs), np.array(labels, bool), np.array(attacked, bool), np.full(len(rows), count))

    def __add__(self, other: "KnownPairs") -> "KnownPairs":
        return KnownPairs(
            self.pairs + other.pairs,
            *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in ("labels", "attacked", "counts")),
        )

    def __getitem__(self, mask: NDArray[np.bool_]) -> "KnownPairs":
        chosen = [pair for pair, one in zip(self.pairs, mask, strict=True) if one]
        return KnownPairs(chosen, self.labels[mask], self.attacked[mask], self.counts[mask])

    @property
    def agreeing(self) -> NDArray[np.bool_]:
        """Which have more inliers than agree by chance, bool [N]."""
        return np.array([pair.inliers >= _SURELY_RELATED for pair in self.pairs], bool)


def fit_views(known: KnownPairs) -> PairModel:
    """The likeliest model without the second look, calibrated on attacked queries: other shots are more frequent among these
    pairs than in use."""
    alone = KnownPairs(
        [PairFeatures(pair.cosine, 0, 0, 0.0, 0.0, 0.0, 0.0, pair.chances) for pair in known.pairs],
        known.labels,
        known.attacked,
        known.counts,
    )
    return PairModel(_related(alone), NOTHING.same)


def fit_verify(known: KnownPairs, scenes: KnownPairs) -> PairModel:
    """The likeliest models of both questions.

    Whether two pictures are related is learnt from copies and from what agrees by chance, without the other shots between;
    whether they are the same photograph, from all that are related.
    """
    everything = known + scenes
    related = everything[compared(everything.pairs) & (everything.labels | everything.agreeing)]
    return PairModel(
        _related(known[known.labels | ~known.agreeing]), fit_same(related.pairs, related.labels, related.counts)
    )


def _related(known: KnownPairs) -> tuple[float, ...]:
    attacked = known[known.attacked]
    return recalibrated(fit_related(known.pairs, known.labels), attacked.pairs, attacked.labels)


def _same_photograph(pair: PairFeatures) -> bool:
    return pair.inliers > 0 and pair.correlation >= _SAME_CORRELATION and pair.misfit <= _SAME_MISFIT
