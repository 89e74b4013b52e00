"""The most likely models of pairs that are known (``engine.match.probability``), and how well they are calibrated."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from copytrace.engine.match.probability import PairFeatures, related_terms, same_terms, sigmoid

RELATED_PENALTY = 1e-5
SAME_PENALTY = 1e-4
_STEPS = 100

Weights = tuple[float, ...]


def fit_related(pairs: Sequence[PairFeatures], labels: NDArray[np.bool_], penalty: float = RELATED_PENALTY) -> Weights:
    """The most likely first model. Raises: ValueError when the labels are all alike or not as many as the pairs."""
    return _plain(most_likely(related_terms(pairs), labels, penalty))


def fit_same(
    pairs: Sequence[PairFeatures],
    labels: NDArray[np.bool_],
    counts: NDArray[np.float64],
    penalty: float = SAME_PENALTY,
) -> Weights:
    """The most likely second model, where pair i counts ``counts[i]`` times. Raises: ValueError, as above."""
    return _plain(most_likely(same_terms(pairs), labels, penalty, counts))


def recalibrated(related: Weights, pairs: Sequence[PairFeatures], labels: NDArray[np.bool_]) -> Weights:
    """The first model whose log odds, stretched and moved, are likeliest for these pairs; it orders all pairs as before."""
    logits = related_terms(pairs) @ np.array(related)
    constant, factor = most_likely(np.stack([np.ones(len(logits)), logits], axis=1), labels, 0.0)
    first, *others = (float(factor * weight) for weight in related)
    return (first + float(constant), *others)


def most_likely(
    x: NDArray[np.float64], labels: NDArray[np.bool_], penalty: float, counts: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Most likely weights [K] of a logistic model of x [N, K], whose first column is the constant, by Newton's method.

    penalty: on the squares of the other weights, per row, in standard deviations of their columns. counts: how often a row
    counts, [N]; once each by default.
    Raises: ValueError when the labels are all alike or not as many as the rows.
    """
    if len(labels) != len(x) or labels.all() or not labels.any():
        raise ValueError("there must be one label for every pair, and both kinds of them")
    n = np.ones(len(x)) if counts is None else counts
    centre, scale = x.mean(axis=0), x.std(axis=0)
    same = np.ptp(x, axis=0) == 0  # a term that never changes has taught nothing: its weight stays 0
    centre[0], scale[same], same[0] = 0.0, 1.0, False
    z, target = np.where(same, 0.0, (x - centre) / scale), labels.astype(np.float64)
    ridge = penalty * n.sum() * np.eye(z.shape[1])
    ridge[0, 0] = 0.0
    weights = np.zeros(z.shape[1])
    for _ in range(_STEPS):
        p = sigmoid(z @ weights)
        gradient = z.T @ (n * (p - target)) + ridge @ weights
        hessian = (z.T * (n * p * (1 - p))) @ z + ridge + 1e-9 * n.sum() * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 2.0 / max(1e-12, float(np.abs(step).max())))  # far away a whole step may overshoot
        weights -= step
        if np.abs(step).max() < 1e-10:
            break
    plain = weights / scale
    plain[0] -= float((weights[1:] * centre[1:] / scale[1:]).sum())
    return np.asarray(plain, np.float64)


def calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error: the mean distance between probability and share of copies, in bins of equal width."""
    number = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = [abs(float((probabilities - labels)[number == i].sum())) for i in range(bins)]
    return sum(gaps) / max(1, len(labels))


def _plain(weights: NDArray[np.float64]) -> Weights:
    return tuple(float(weight) for weight in weights)
