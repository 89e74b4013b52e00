"""Fits the constants of matching: ``python -m copytrace.train.bundles.matching REFERENCES OTHERS SCENES -o BUNDLE``.

Queries are made of photographs and matched with REFERENCES, see ``matching_queries``. None of OTHERS is among these. SCENES are
several photographs of each of some scenes, none a copy of another: the hardest pairs that are no copies.

First the penalty of each kind of view, by micro-AP of the best view; then the models of a pair, on all pairs looked at, by
whole references.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from copytrace.engine import DEFAULT_BUNDLE, Engine, GroundTruth
from copytrace.engine.match.constants import MatchConstants
from copytrace.engine.match.probability import RELATED, SAME
from copytrace.engine.matching import Matcher
from copytrace.engine.pictures import Looks, Picture, picture_stream
from copytrace.engine.read import Image, Source, open_source
from copytrace.engine.references import References

from ..data.query_set import Query
from .known_pairs import NOTHING, SCENE_COUNT, KnownPairs, fit_verify, fit_views
from .match_model import calibration_error
from .matching_files import save_fitted
from .matching_queries import is_attacked, scene_queries, training_queries
from .view_penalties import best_penalties


@dataclass(frozen=True)
class Trial:
    """References and the pictures to match with them; right: the reference's id of every picture, "" for none."""

    references: References
    pictures: Sequence[Picture]
    right: Mapping[str, str]

    @classmethod
    def of(cls, source: Source, queries: Sequence[Query], engine: Engine) -> "Trial":
        images = [Image(query.id, lambda data=query.jpeg: data) for query in queries]  # type: ignore[misc]
        stream = picture_stream(engine.embedder, images, Looks.of_queries(engine.embedder, local=True))
        pictures = [picture for picture in stream if isinstance(picture, Picture)]
        return cls(
            References.of(engine.embedder, source, crops=True),
            pictures,
            {query.id: query.reference for query in queries},
        )


def fit_constants(trial: Trial, scenes: Trial, engine: Engine) -> tuple[MatchConstants, float]:
    """The constants, and the calibration error of ``verify`` on every second picture's pairs by a fit on the others."""
    attacked = [picture for picture in trial.pictures if is_attacked(picture.id)]
    truth = GroundTruth.of((picture.id, trial.right[picture.id]) for picture in attacked)
    penalties = best_penalties(attacked, trial.references, truth)
    plain = MatchConstants(penalties, NOTHING, NOTHING)
    shots = KnownPairs.of(
        Matcher(scenes.references.without_crops(), "full", engine=engine, constants=plain),
        scenes.pictures,
        scenes.right,
        SCENE_COUNT,
    )
    matcher = Matcher(trial.references.without_crops(), "full", engine=engine, constants=plain)
    some, others = (KnownPairs.of(matcher, trial.pictures[i::2], trial.right) for i in (0, 1))
    tried = others[others.attacked]
    error = calibration_error(fit_verify(some, shots).predict(tried.pairs), tried.labels)
    known = some + others
    return MatchConstants(penalties, fit_views(known), fit_verify(known, shots)), error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("references", type=Path, help="Photographs: a folder, a tar or a list of paths.")
    parser.add_argument("others", type=Path, help="Other photographs, none of them among the references.")
    parser.add_argument("scenes", type=Path, help="Several photographs of each of some scenes.")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="A file, or the bundle to fit and to put it in."
    )
    parser.add_argument("--queries", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    bundle = args.output if args.output.is_dir() else DEFAULT_BUNDLE
    engine = Engine(bundle, threads=args.threads)
    source, others, shots = (open_source(path) for path in (args.references, args.others, args.scenes))
    trial = Trial.of(source, list(training_queries(source, others, args.queries, args.seed)), engine)
    scenes = Trial.of(shots, list(scene_queries(shots, others, args.seed)), engine)
    constants, error = fit_constants(trial, scenes, engine)
    save_fitted(args.output, "constants", constants.save)
    print(f"penalties {dict(constants.penalties)}; calibration error on a held-back half {error:.4f}")
    for title, model in (("views", constants.views), ("verify", constants.verify)):
        for question, names, weights in (("related", RELATED, model.related), ("same", SAME, model.same)):
            print(title, question, ", ".join(f"{n} {w:.3f}" for n, w in zip(names, weights, strict=True)))


if __name__ == "__main__":
    main()
