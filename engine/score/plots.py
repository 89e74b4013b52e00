"""Precision-recall curve and score histogram, as PNG."""

import io
from typing import TYPE_CHECKING

import numpy as np

from .metric import Evaluation, Ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RIGHT, _WRONG, _LINE = "#2a7f62", "#c8553d", "#1f3a5f"


def precision_recall_png(ranking: Ranking, evaluation: Evaluation) -> bytes:
    """The curve over all rows, with the point of recall at 90 % precision."""
    figure = _new_figure()
    axes = figure.add_subplot()
    axes.plot(ranking.recall, ranking.precision, color=_LINE, linewidth=1.6)
    if evaluation.threshold_at_p90 is not None:
        row = int(np.searchsorted(ranking.recall, evaluation.recall_at_p90))
        point = (ranking.recall[row : row + 1], ranking.precision[row : row + 1])
        axes.plot(*point, "o", color=_WRONG, label=f"R@P90 {evaluation.recall_at_p90:.3f}")
        axes.legend(loc="lower left")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.set_title(f"micro-AP {evaluation.micro_ap:.4f}")
    axes.grid(alpha=0.3)
    return _png(figure)


def score_histogram_png(ranking: Ranking) -> bytes:
    """How many right and wrong pairs have which score."""
    figure = _new_figure()
    axes = figure.add_subplot()
    if len(ranking.scores):
        bins = np.histogram_bin_edges(ranking.scores, bins=60)
        axes.hist(ranking.scores[~ranking.right], bins=bins.tolist(), color=_WRONG, alpha=0.7, label="wrong pairs")
        axes.hist(ranking.scores[ranking.right], bins=bins.tolist(), color=_RIGHT, alpha=0.8, label="right pairs")
        axes.legend(loc="upper left")
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set(xlabel="score (higher is more alike)", ylabel="pairs", title="scores")
    axes.grid(alpha=0.3)
    return _png(figure)


def _new_figure() -> "Figure":
    from matplotlib.figure import Figure  # half of the engine's import time, and only plots need it

    return Figure(figsize=(5.2, 3.8), layout="constrained")


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
