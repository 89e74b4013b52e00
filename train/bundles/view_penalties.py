"""The penalty of each kind of view, by micro-AP of the best view on pictures whose references are known."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import GroundTruth, ScoredPairs, evaluate
from copytrace.engine.match.constants import KINDS
from copytrace.engine.match.views import CROP_LABELS
from copytrace.engine.matching import CANDIDATES
from copytrace.engine.pictures import Picture
from copytrace.engine.references import References

GRID = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
TOLERANCE = 0.001
_OF_QUERIES = KINDS[:3]
_NONE_OF_KIND = -1e9
Scores = NDArray[np.float64]


def best_penalties(pictures: Sequence[Picture], references: References, truth: GroundTruth) -> dict[str, float]:
    """First those of the views of queries, on whole references; then, with these, that of the crops of references.

    Of the penalties on the grid within 0.001 of the highest micro-AP of the best view the one whose smaller part is largest;
    of these the best.

    What further views find by chance grows with the number of references, and those who match have more than this fit: a
    penalty that is too large costs little, one that is too small costs what the whole view had found.
    """
    assert references.crops is not None
    ids = references.ids
    rows = list(_view_scores(pictures, references.descriptors[:]))

    def by_whole(penalties: tuple[float, ...]) -> list[Scores]:
        return [_best(row, penalties) for row in rows]

    candidates = [(0.0, turn, region) for turn, region in product(GRID, GRID)]
    of_queries = _largest_good(candidates, [_quality(pictures, by_whole(v), ids, truth) for v in candidates])
    whole = by_whole(of_queries)
    shape = (len(references), len(CROP_LABELS))
    crops = [_best(row, of_queries).reshape(shape).max(axis=1) for row in _view_scores(pictures, references.crops[:])]

    def with_crops(penalty: float) -> list[Scores]:
        return [np.maximum(a, b - penalty) for a, b in zip(whole, crops, strict=True)]

    (crop,) = _largest_good(
        [(value,) for value in GRID], [_quality(pictures, with_crops(value), ids, truth) for value in GRID]
    )
    return dict(zip(KINDS, (*of_queries, crop), strict=True))


def _largest_good(candidates: Sequence[tuple[float, ...]], qualities: Sequence[float]) -> tuple[float, ...]:
    """Of the penalties that are as good as the best, those whose smallest fitted part is largest; that of the whole is none."""
    fitted = [values[1:] or values for values in candidates]
    good = [
        (min(parts), quality, values)
        for parts, values, quality in zip(fitted, candidates, qualities, strict=True)
        if quality >= max(qualities) - TOLERANCE
    ]
    return max(good)[2]


def _quality(pictures: Sequence[Picture], scores: Sequence[Scores], ids: Sequence[str], truth: GroundTruth) -> float:
    """The micro-AP of the best references of every picture by its scores [N]."""
    queries, references, values = [], [], []
    for picture, best in zip(pictures, scores, strict=True):
        for number in np.argpartition(-best, min(CANDIDATES, len(best) - 1))[:CANDIDATES].tolist():
            queries.append(picture.id)
            references.append(ids[number])
            values.append(best[number])
    return evaluate(ScoredPairs(queries, references, np.array(values)), truth).micro_ap


def _best(rows: Scores, penalties: Sequence[float]) -> Scores:
    return (rows - np.array(penalties)[:, None]).max(axis=0)


def _view_scores(pictures: Sequence[Picture], descriptors: NDArray[np.float32]) -> Iterator[Scores]:
    """Of each query the best -(squared distance) of each kind of its views, float64 [3, N]; -1e9 where there is none of the
    kind."""
    r = descriptors.astype(np.float64)
    lengths = np.square(r).sum(axis=1)
    for picture in pictures:
        q = picture.descriptors.astype(np.float64)
        scores = 2.0 * (q @ r.T) - np.square(q).sum(axis=1)[:, None] - lengths
        kinds = np.array([view.kind for view in picture.views])
        yield np.stack([scores[kinds == kind].max(axis=0, initial=_NONE_OF_KIND) for kind in _OF_QUERIES])
