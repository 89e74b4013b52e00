"""Fits the probability that a pair is a copy (``engine.match.probability``) to pairs that are known.

``python -m copytrace.train.match_model REFERENCES OTHERS -o model.json`` makes attacked queries from photographs, half of them
from REFERENCES, half (and everything that is pasted or blended in) from OTHERS, looks at the references nearest to each, and
fits on all of those pairs: the wrong ones among them are the hardest there are.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import Engine
from copytrace.engine.match.aligned import align, thumbnail
from copytrace.engine.match.features import REFERENCE_FEATURES, LocalFeatures, extract_small
from copytrace.engine.match.grey import Grey, small_grey
from copytrace.engine.match.probability import TERMS, PairFeatures, PairModel, sigmoid, terms
from copytrace.engine.match.verify import Verifier
from copytrace.engine.read import DEFAULT_PIXEL_LIMIT, Source, open_source
from copytrace.engine.read.decode import decode_full

from .attack_set import make_queries

CANDIDATES = 10
PENALTY = 1e-3
_STEPS = 100
_DECODED_SIDE = 256


def fit(pairs: Sequence[PairFeatures], labels: NDArray[np.bool_], penalty: float = PENALTY) -> PairModel:
    """Most likely weights under a small penalty on their squares (per pair, the constant is free), by Newton's method.

    Raises: ValueError when the labels are all alike or not as many as the pairs.
    """
    if len(labels) != len(pairs) or labels.all() or not labels.any():
        raise ValueError("there must be one label for every pair, and both kinds of them")
    x = terms(pairs)
    centre, scale = x.mean(axis=0), x.std(axis=0)
    same = np.ptp(x, axis=0) == 0  # a term that never changes has taught nothing: its weight stays 0
    centre[0], scale[same], same[0] = 0.0, 1.0, False
    z, target = np.where(same, 0.0, (x - centre) / scale), labels.astype(np.float64)
    ridge = penalty * len(z) * np.eye(z.shape[1])
    ridge[0, 0] = 0.0
    weights = np.zeros(z.shape[1])
    for _ in range(_STEPS):
        p = sigmoid(z @ weights)
        gradient = z.T @ (p - target) + ridge @ weights
        hessian = (z.T * (p * (1 - p))) @ z + ridge + 1e-9 * len(z) * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 2.0 / max(1e-12, float(np.abs(step).max())))  # far away a whole step may overshoot
        weights -= step
        if np.abs(step).max() < 1e-10:
            break
    plain = weights / scale
    plain[0] -= float((weights[1:] * centre[1:] / scale[1:]).sum())
    return PairModel(tuple(float(weight) for weight in plain))


def calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error: the mean distance between probability and share of copies, in bins of equal width."""
    number = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = [abs(float((probabilities - labels)[number == i].sum())) for i in range(bins)]
    return sum(gaps) / max(1, len(labels))


def collect(
    references: Source, others: Source, queries: int, seed: int = 0, engine: Engine | None = None
) -> tuple[list[PairFeatures], NDArray[np.bool_]]:
    """The pairs of ``queries`` attacked pictures with the references nearest to each, and which of them are copies."""
    engine = engine or Engine()
    kept = _References(references, engine)
    pairs, labels = [], []
    for query in make_queries(references, queries, seed, others):
        for candidate, pair in kept.pairs(query.jpeg):
            pairs.append(pair)
            labels.append(candidate == query.reference)
    return pairs, np.array(labels, bool)


def _small(data: bytes) -> tuple[Grey, LocalFeatures]:
    grey, frame = small_grey(decode_full(data, _DECODED_SIDE, DEFAULT_PIXEL_LIMIT))
    return grey, extract_small(grey, frame)


class _References:
    """Descriptors, local features and thumbnails of all references."""

    def __init__(self, source: Source, engine: Engine) -> None:
        self.engine = engine
        self.ids = [image.id for image in source]
        self.descriptors = np.concatenate([engine.embed([image.read()]) for image in source])
        small = [_small(image.read()) for image in source]
        self.features = [features.strongest(REFERENCE_FEATURES) for _, features in small]
        self.thumbnails = [thumbnail(grey) for grey, _ in small]

    def pairs(self, data: bytes) -> Iterator[tuple[str, PairFeatures]]:
        """Id and features of the pairs of a query with its nearest references."""
        cosines = self.descriptors @ self.engine.embed([data])[0]
        nearest = np.argsort(-cosines, kind="stable")[:CANDIDATES]
        grey, features = _small(data)
        found = Verifier(features).verify_many([self.features[i] for i in nearest])
        for i, verification in zip(nearest, found, strict=True):
            alignment = align(grey, self.thumbnails[i], verification.affine, self.features[i].frame)
            cosine = float(cosines[i])
            yield self.ids[i], PairFeatures.of(cosine, verification, alignment, len(nearest))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("references", type=Path, help="Photographs: a folder, a tar or a list of paths.")
    parser.add_argument("others", type=Path, help="Other photographs, none of them among the references.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    pairs, labels = collect(open_source(args.references), open_source(args.others), args.queries, args.seed)
    half = len(pairs) // 2
    held_back = fit(pairs[:half], labels[:half]).predict(pairs[half:])
    model = fit(pairs, labels)
    args.output.write_text(model.to_json())
    error = calibration_error(held_back, labels[half:])
    print(f"{len(pairs)} pairs, {int(labels.sum())} copies; calibration error on a held-back half {error:.4f}")
    print("\n".join(f"{name:<18} {weight:8.3f}" for name, weight in zip(TERMS, model.weights, strict=True)))


if __name__ == "__main__":
    main()
