"""Fits the constants of matching: ``python -m copytrace.train.bundles.matching REFERENCES OTHERS -o matching.json``.

Queries are made of photographs and matched with REFERENCES. A third is made by each set of attacks, half of them of REFERENCES
and half (and everything that is pasted or blended in) of OTHERS. A sixth are photographs of REFERENCES as they are: what they
find beside themselves are other shots of the same thing, the hardest pairs that are no copies.

First the penalty of each kind of view, by micro-AP of the best view. Then the two models of a pair, on all pairs that are
looked at. As the hardest are more frequent among these than in use, the odds are calibrated again on attacked queries alone.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import DEFAULT_BUNDLE, Engine, GroundTruth, ScoredPairs, evaluate
from copytrace.engine.match.constants import KINDS, MatchConstants
from copytrace.engine.match.probability import TERMS, PairFeatures, PairModel
from copytrace.engine.matching import CANDIDATES, Matcher
from copytrace.engine.pictures import Looks, Picture, picture_stream
from copytrace.engine.read import Image, Source, open_source
from copytrace.engine.references import References

from ..data.attack_set import Query, make_queries
from .match_model import calibration_error, fit, recalibrated
from .matching_files import save_fitted

AS_IT_IS = "as it is"
"""What the ids of queries begin with that are photographs as they are."""
GRID = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
TOLERANCE = 0.004
_NOTHING = PairModel((0.0,) * len(TERMS))
_NONE_OF_KIND = -1e9
_SAME_CORRELATION, _SAME_MISFIT = 0.85, 0.4


def training_queries(references: Source, others: Source, count: int, seed: int) -> Iterator[Query]:
    """About ``count`` queries, see above. A photograph as it is has its own id as its reference."""
    for attacks in ("isc2021", "wide"):
        for query in make_queries(references, count // 3, seed, others, attacks):
            yield replace(query, id=f"{attacks} {query.id}")
    order = np.random.default_rng([seed, 2]).permutation(len(references))[: count // 6]
    for image in (references[int(place)] for place in order):
        yield Query(f"{AS_IT_IS} {image.id}", image.read(), image.id, "none", None, [])


def best_penalties(
    pictures: Sequence[Picture], descriptors: NDArray[np.float32], ids: Sequence[str], truth: GroundTruth
) -> dict[str, float]:
    """Of the penalties on the grid within 0.004 of the highest micro-AP of the best view the one whose smaller part is largest;
    of these the best.

    What further views find by chance grows with the number of references, and those who match have more than this fit: a
    penalty that is too large costs little, one that is too small costs what the whole view had found.
    """
    rows = [_view_scores(picture, descriptors) for picture in pictures]

    def quality(penalties: tuple[float, ...]) -> float:
        queries, references, scores = [], [], []
        for picture, row in zip(pictures, rows, strict=True):
            best = (row - np.array(penalties)[:, None]).max(axis=0)
            for number in np.argpartition(-best, min(CANDIDATES, len(best) - 1))[:CANDIDATES].tolist():
                queries.append(picture.id)
                references.append(ids[number])
                scores.append(best[number])
        return evaluate(ScoredPairs(queries, references, np.array(scores)), truth).micro_ap

    candidates = [(0.0, turn, region) for turn, region in product(GRID, GRID)]
    qualities = [quality(values) for values in candidates]
    good = [(min(v[1:]), q, v) for v, q in zip(candidates, qualities, strict=True) if q >= max(qualities) - TOLERANCE]
    return dict(zip(KINDS, max(good)[2], strict=True))


def _view_scores(picture: Picture, descriptors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The best -(squared distance) of each kind of view, float64 [kinds, N]; -1e9 where there is none of the kind."""
    q, r = picture.descriptors.astype(np.float64), descriptors.astype(np.float64)
    scores = 2.0 * (q @ r.T) - np.square(q).sum(axis=1)[:, None] - np.square(r).sum(axis=1)
    kinds = np.array([view.kind for view in picture.views])
    return np.stack([scores[kinds == kind].max(axis=0, initial=_NONE_OF_KIND) for kind in KINDS])


@dataclass(frozen=True)
class KnownPairs:
    """Pairs that are looked at, which are copies, and which are of attacked queries."""

    pairs: list[PairFeatures]
    labels: NDArray[np.bool_]
    attacked: NDArray[np.bool_]

    @classmethod
    def of(cls, matcher: Matcher, pictures: Sequence[Picture], right: Mapping[str, str]) -> "KnownPairs":
        """All but those that would be called wrong though nothing tells them from copies: photographs of the references that
        are parts of one another."""
        rows = [
            (look.features, matcher.references.ids[look.reference] == right[picture.id], _is_attacked(picture))
            for picture, found in matcher.looks(pictures)
            for look in found
        ]
        pairs, labels, attacked = zip(*(row for row in rows if row[1] or not _same_photograph(row[0])), strict=True)
        return cls(list(pairs), np.array(labels, bool), np.array(attacked, bool))

    def fit(self, *, second_look: bool = True) -> PairModel:
        """The likeliest model of all, calibrated on those of attacked queries."""
        pairs = self.pairs if second_look else [_without_second_look(pair) for pair in self.pairs]
        attacked = [pair for pair, one in zip(pairs, self.attacked, strict=True) if one]
        return recalibrated(fit(pairs, self.labels), attacked, self.labels[self.attacked])


def _is_attacked(picture: Picture) -> bool:
    return not picture.id.startswith(AS_IT_IS)


def _same_photograph(pair: PairFeatures) -> bool:
    return pair.inliers > 0 and pair.correlation >= _SAME_CORRELATION and pair.misfit <= _SAME_MISFIT


def fit_constants(
    references: References, pictures: Sequence[Picture], right: Mapping[str, str], engine: Engine
) -> tuple[MatchConstants, float]:
    """The constants, and the calibration error of ``verify`` on every second picture's pairs by a fit on the others.

    right: the reference's id of every picture, "" for none.
    """
    attacked = [picture for picture in pictures if _is_attacked(picture)]
    truth = GroundTruth.of((picture.id, right[picture.id]) for picture in attacked)
    penalties = best_penalties(attacked, references.descriptors, references.ids, truth)
    matcher = Matcher(references, "full", engine=engine, constants=MatchConstants(penalties, _NOTHING, _NOTHING))
    some, others = (KnownPairs.of(matcher, pictures[i::2], right) for i in (0, 1))
    held_back = some.fit().predict(others.pairs)
    error = calibration_error(held_back[others.attacked], others.labels[others.attacked])
    both = KnownPairs(
        some.pairs + others.pairs,
        np.concatenate([some.labels, others.labels]),
        np.concatenate([some.attacked, others.attacked]),
    )
    return MatchConstants(penalties, both.fit(second_look=False), both.fit()), error


def _without_second_look(pair: PairFeatures) -> PairFeatures:
    return PairFeatures(pair.cosine, 0, 0, 0.0, 0.0, 0.0, 0.0, pair.chances)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("references", type=Path, help="Photographs: a folder, a tar or a list of paths.")
    parser.add_argument("others", type=Path, help="Other photographs, none of them among the references.")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="A file, or the bundle to fit and to put it in."
    )
    parser.add_argument("--queries", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    bundle = args.output if args.output.is_dir() else DEFAULT_BUNDLE
    engine, source = Engine(bundle, threads=args.threads), open_source(args.references)
    queries = list(training_queries(source, open_source(args.others), args.queries, args.seed))
    images = [Image(query.id, lambda data=query.jpeg: data) for query in queries]  # type: ignore[misc]
    stream = picture_stream(engine.embedder, images, Looks.of_queries(engine.embedder, local=True))
    pictures = [picture for picture in stream if isinstance(picture, Picture)]
    right = {query.id: query.reference for query in queries}
    constants, error = fit_constants(References.of(engine.embedder, source), pictures, right, engine)
    save_fitted(args.output, "constants", constants.save)
    print(f"penalties {dict(constants.penalties)}; calibration error on a held-back half {error:.4f}")
    for name, views, verify in zip(TERMS, constants.views.weights, constants.verify.weights, strict=True):
        print(f"{name:<18} {views:8.3f} {verify:8.3f}")


if __name__ == "__main__":
    main()
