"""The pair's score of ISC2021's third place: how many descriptors of the query have one clearly nearest in the reference.

A descriptor counts when the distance to its nearest one is below 1 / 1.8 of that to the second nearest. The system's text
speaks of distances, its code compares the squared ones: ``SQUARED`` does what the code did, ``PLAIN`` what the text says, which
is stricter (a ratio of 0.556 instead of 0.745 between distances). The query is tried as it is and mirrored; the larger number
is the score. Its descriptors were SIFT's own, ours are RootSIFT.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from . import variants
from .features import LocalFeatures
from .reference import squared_distances
from .variants import Variant

RATIO = 1 / 1.8

Convention = Literal["squared", "plain"]
SQUARED: Convention = "squared"
PLAIN: Convention = "plain"


def ratio_matches(query: NDArray[np.uint8], reference: NDArray[np.uint8], convention: Convention = SQUARED) -> int:
    """Rows of ``query`` uint8 [F, 128] that pass the ratio test in ``reference`` uint8 [G, 128]; 0 when G < 2.

    Raises: ValueError for another convention.
    """
    if convention not in (SQUARED, PLAIN):
        raise ValueError(f"convention must be '{SQUARED}' or '{PLAIN}', not '{convention}'")
    if len(reference) < 2 or not len(query):
        return 0
    first, second = np.partition(squared_distances(query, reference), 1, axis=1)[:, :2].T
    factor = RATIO if convention == SQUARED else RATIO * RATIO
    return int((first < factor * second).sum())


def match_score(query: LocalFeatures, reference: LocalFeatures, convention: Convention = SQUARED) -> int:
    """The larger number of ``ratio_matches``, of the query as it is and mirrored."""
    return max(
        ratio_matches(variants.descriptors(query.descriptors, variant), reference.descriptors, convention)
        for variant in (Variant.AS_IS, Variant.MIRRORED)
    )
