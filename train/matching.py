"""Fits the constants of matching: ``python -m copytrace.train.matching REFERENCES OTHERS -o matching.json``.

Attacked queries are made of photographs, half of them from REFERENCES, half (and everything that is pasted or blended in) from
OTHERS, and matched with REFERENCES. First the penalty of each kind of view, by micro-AP of the best view; then the two models
of a pair, on all pairs that are looked at: the wrong ones among them are the hardest there are.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import Engine, GroundTruth, ScoredPairs, evaluate
from copytrace.engine.match.constants import KINDS, MatchConstants
from copytrace.engine.match.probability import TERMS, PairFeatures, PairModel
from copytrace.engine.matching import Matcher
from copytrace.engine.pictures import Looks, Picture, picture_stream
from copytrace.engine.read import Image, open_source
from copytrace.engine.references import References

from .attack_set import Query, make_queries
from .match_model import calibration_error, fit
from .matching_files import save_fitted

GRID = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
TOLERANCE = 0.001
_NOTHING = PairModel((0.0,) * len(TERMS))


def best_penalties(
    pictures: Sequence[Picture], descriptors: NDArray[np.float32], ids: list[str], truth: GroundTruth
) -> dict[str, float]:
    """The penalties on the grid with the highest micro-AP of the best view; of those within 0.001 the smallest sum."""
    rows = [_view_scores(picture, descriptors) for picture in pictures]

    def quality(penalties: tuple[float, ...]) -> float:
        queries, references, scores = [], [], []
        for picture, row in zip(pictures, rows, strict=True):
            best = (row - np.array(penalties)[:, None]).max(axis=0)
            for number in np.argsort(-best, kind="stable")[:10].tolist():
                queries.append(picture.id)
                references.append(ids[number])
                scores.append(best[number])
        return evaluate(ScoredPairs(queries, references, np.array(scores)), truth).micro_ap

    candidates = [(0.0, turn, region) for turn, region in product(GRID, GRID)]
    qualities = [quality(values) for values in candidates]
    good = [v for v, q in zip(candidates, qualities, strict=True) if q >= max(qualities) - TOLERANCE]
    return dict(zip(KINDS, min(good, key=sum), strict=True))


def _view_scores(picture: Picture, descriptors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The best -(squared distance) of each kind of view, float64 [kinds, N]; -1e9 where there is none of the kind."""
    q, r = picture.descriptors.astype(np.float64), descriptors.astype(np.float64)
    scores = 2.0 * (q @ r.T) - np.square(q).sum(axis=1)[:, None] - np.square(r).sum(axis=1)
    kinds = np.array([view.kind for view in picture.views])
    return np.stack([scores[kinds == kind].max(axis=0, initial=-1e9) for kind in KINDS])


def fit_constants(references: References, queries: Sequence[Query], engine: Engine) -> tuple[MatchConstants, float]:
    """The constants, and the calibration error of ``verify`` on a half that was held back."""
    looks = Looks.of_queries(engine.embedder, local=True)
    images = [Image(query.id, lambda data=query.jpeg: data) for query in queries]  # type: ignore[misc]
    pictures = [p for p in picture_stream(engine.embedder, images, looks) if isinstance(p, Picture)]
    right = {query.id: query.reference for query in queries}
    truth = GroundTruth.of(right.items())
    penalties = best_penalties(pictures, references.descriptors, references.ids, truth)
    matcher = Matcher(references, "full", engine=engine, constants=MatchConstants(penalties, _NOTHING, _NOTHING))
    pairs: list[PairFeatures] = []
    labels: list[bool] = []
    for picture, found in matcher.looks(pictures):
        for look in found:
            pairs.append(look.features)
            labels.append(references.ids[look.reference] == right[picture.id])
    known = np.array(labels, bool)
    half = len(pairs) // 2
    held_back = fit(pairs[:half], known[:half]).predict(pairs[half:])
    views = fit([_without_second_look(pair) for pair in pairs], known)
    return MatchConstants(penalties, views, fit(pairs, known)), calibration_error(held_back, known[half:])


def _without_second_look(pair: PairFeatures) -> PairFeatures:
    return PairFeatures(pair.cosine, 0, 0, 0.0, 0.0, 0.0, pair.chances)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("references", type=Path, help="Photographs: a folder, a tar or a list of paths.")
    parser.add_argument("others", type=Path, help="Other photographs, none of them among the references.")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="A file, or the bundle to fit and to put it in."
    )
    parser.add_argument("--queries", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    engine = Engine(args.output) if args.output.is_dir() else Engine()
    source = open_source(args.references)
    queries = list(make_queries(source, args.queries, args.seed, open_source(args.others)))
    constants, error = fit_constants(References.of(engine.embedder, source), queries, engine)
    save_fitted(args.output, "constants", constants.save)
    print(f"penalties {dict(constants.penalties)}; calibration error on a held-back half {error:.4f}")
    for name, views, verify in zip(TERMS, constants.views.weights, constants.verify.weights, strict=True):
        print(f"{name:<18} {views:8.3f} {verify:8.3f}")


if __name__ == "__main__":
    main()
