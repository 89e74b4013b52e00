"""The penalty of each kind of view, by micro-AP of the best view on pictures whose references are known."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import GroundTruth, ScoredPairs, evaluate
from copytrace.engine.match.constants import KINDS
from copytrace.engine.matching import CANDIDATES
from copytrace.engine.pictures import Picture

GRID = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
TOLERANCE = 0.001
_NONE_OF_KIND = -1e9


def best_penalties(
    pictures: Sequence[Picture], descriptors: NDArray[np.float32], ids: Sequence[str], truth: GroundTruth
) -> dict[str, float]:
    """Of the penalties on the grid within 0.001 of the highest micro-AP of the best view the one whose smaller part is largest;
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
