"""The rule of ISC2021's third place in the matching track: which references are recalled, and what a pair scores.

Three branches look for references: the global descriptor of the region where something was pasted, or of the whole picture
where there is no region; the local features of the picture; and those of the region. A pair's score is the sum of its match
scores in the branches that recalled it.

*Recall*: every feature of the query hits the reference of its nearest feature. The one with most hits is recalled when it has
more than three, strictly more than the second, and the hits' mean squared distance is below 8000 on the scale 0..255; more than
five are asked for when no other reference is hit at all.

*Match score*: how many descriptors of the query have one clearly nearest in the reference: its distance is below 1 / 1.8 of
that to the second nearest. The system's text speaks of distances, its code compares the squared ones: ``SQUARED`` does what the
code did, ``PLAIN`` what the text says, which is stricter (a ratio of 0.556 instead of 0.745 between distances). The query is
tried as it is and mirrored; the larger number is the score.

Its pictures had a shorter side of 300 pixels and its descriptors were SIFT's own; ours are RootSIFT at 150 pixels, on the same
scale. Its regions came from a detector of its own, and were not larger than 0.85 of the picture nor longer than 4 to 1.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from . import variants
from .features import LocalFeatures
from .variants import Variant
from .views import View

RATIO = 1 / 1.8
HITS, LONE_HITS = 3, 5  # more than so many
MEAN_DISTANCE = 8000.0
LARGEST_REGION, LONGEST_REGION = 0.85, 4.0

Convention = Literal["squared", "plain"]
SQUARED: Convention = "squared"
PLAIN: Convention = "plain"

_ODDS: dict[Convention, tuple[float, float]] = {SQUARED: (-8.0, 2.2), PLAIN: (-6.0, 2.2)}


def branch_views(views: Sequence[View], size: tuple[int, int]) -> list[View]:
    """The whole, and the first region that is not too large or long for a picture of ``size`` (width, height)."""
    regions = [view for view in views if view.box is not None and _fits(view, size)]
    return [views[0], *regions[:1]]


def recalled(distances: NDArray[np.float32], owners: NDArray[np.int64]) -> int | None:
    """The reference that a query's features recall, or None.

    distances, owners: [F], the squared distance of each feature to its nearest one, and the number of the reference that has
    it; -1 where there is none.
    """
    names, counts = np.unique(owners[owners >= 0], return_counts=True)
    if not len(names):
        return None
    order = np.argsort(-counts, kind="stable")
    best, hits = names[order[0]], counts[order[0]]
    enough = hits > LONE_HITS if len(names) == 1 else hits > HITS and hits > counts[order[1]]
    near = float(distances[owners == best].mean(dtype=np.float64)) < MEAN_DISTANCE
    return int(best) if enough and near else None


def ratio_matches(query: NDArray[np.uint8], reference: NDArray[np.uint8], convention: Convention = SQUARED) -> int:
    """Rows of ``query`` uint8 [F, 128] that pass the ratio test in ``reference`` uint8 [G, 128]; 0 when G < 2.

    Raises: ValueError for another convention.
    """
    if convention not in (SQUARED, PLAIN):
        raise ValueError(f"convention must be '{SQUARED}' or '{PLAIN}', not '{convention}'")
    if len(reference) < 2 or not len(query):
        return 0
    a, b = query.astype(np.float64), reference.astype(np.float64)  # whole numbers: every sum is exact
    distances = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2.0 * (a @ b.T)
    first, second = np.partition(distances, 1, axis=1)[:, :2].T
    factor = RATIO if convention == SQUARED else RATIO * RATIO
    return int((first < factor * second).sum())


def match_score(query: LocalFeatures, reference: LocalFeatures, convention: Convention = SQUARED) -> int:
    """The larger number of ``ratio_matches``, of the query as it is and mirrored."""
    return max(
        ratio_matches(variants.descriptors(query.descriptors, variant), reference.descriptors, convention)
        for variant in (Variant.AS_IS, Variant.MIRRORED)
    )


def log_odds(score: float, convention: Convention = SQUARED) -> float:
    """The log odds of a copy at a pair's score, the sum over its branches.

    The rule itself only ranks pairs. These odds are chosen, not fitted: even at 37 matches (``SQUARED``) or 14 (``PLAIN``).
    """
    constant, weight = _ODDS[convention]
    return constant + weight * math.log1p(score)


def _fits(view: View, size: tuple[int, int]) -> bool:
    assert view.box is not None
    width, height = view.box.right - view.box.left, view.box.bottom - view.box.top
    long, short = max(width, height), min(width, height)
    return view.box.area <= LARGEST_REGION * size[0] * size[1] and long <= LONGEST_REGION * short
