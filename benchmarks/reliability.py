"""How reliable probabilities are: expected calibration error, and the diagram behind it."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import Matched, read_truth
from copytrace.train.bundles.match_model import calibration_error

BINS = 10


def likeliest(found: Iterable[Matched], truth: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probability of the likeliest reference of every query [N], and whether it is right [N].

    All pairs together would look better: nine in ten of them are plainly none.
    """
    right = read_truth(truth).positives
    best = [query.matches[0] for query in found if query.matches]
    pairs = [(match.evidence.query_id, match.reference_id) for match in best]
    return np.array([match.probability for match in best]), np.array([pair in right for pair in pairs], bool)


def draw_reliability(probabilities: NDArray[np.float64], right: NDArray[np.bool_], path: Path) -> None:
    """A diagram of the share that is right against the probability, in ten bins of equal width, with their sizes."""
    from matplotlib.figure import Figure

    number = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    counts = np.bincount(number, minlength=BINS)
    shares, means = (
        np.bincount(number, values, BINS) / np.maximum(counts, 1) for values in (right.astype(float), probabilities)
    )
    error = calibration_error(probabilities, right, BINS)
    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color="#999", linewidth=1)
    upper.plot(means[counts > 0], shares[counts > 0], "o-", color="#2a7f62")
    upper.set(ylabel="share of copies", title=f"expected calibration error {error:.4f}, {len(right)} queries")
    lower.bar((np.arange(BINS) + 0.5) / BINS, counts, width=0.9 / BINS, color="#1f3a5f")
    lower.set(xlabel="probability", ylabel="queries", xlim=(0, 1))
    figure.savefig(path, dpi=110)
    print(f"expected calibration error of the likeliest references: {error:.4f}; diagram: {path}")
