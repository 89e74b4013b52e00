"""How far the agreeing matches lie from any smooth map: what tells a copy from another shot of the same thing.

Copies of one photograph fit to a fraction of a pixel, however they were cut, turned, recoloured, or seen in perspective. In two
photographs of one scene what is nearer has moved more, and no smooth map follows that.
"""

import math

import numpy as np
from numpy.typing import NDArray

from .features import LocalFeatures
from .keypoints import places
from .verification import Verification

Float64 = NDArray[np.float64]

_FEWEST_CURVED = 10  # matches; fewer get an affine map
_ROUNDS = 3
_LEAST_SCALE = 0.2  # pixels; matches count the less the farther beyond this, or beyond the median, they are off


def misfit(query: LocalFeatures, reference: LocalFeatures, found: Verification) -> float:
    """The median distance of ``found``'s matches from where a map of second order puts them; 0 without any.

    In pixels of the coarser one of the two small pictures, as places in the finer one are no more precise, and per degree of
    freedom: a map of six numbers a coordinate follows ten matches more closely than a hundred.
    """
    if not found.inliers:
        return 0.0
    target = places(query.keypoints[found.query_rows])
    terms = _terms(places(reference.keypoints[found.reference_rows]))
    weights, distances = np.ones(len(terms)), np.zeros(len(terms))
    for _ in range(_ROUNDS):
        weighted = terms * np.square(weights)[:, None]
        fit = np.linalg.lstsq(weighted.T @ terms, weighted.T @ target, rcond=None)[0]
        distances = np.linalg.norm(terms @ fit - target, axis=1)
        weights = 1.0 / np.hypot(1.0, distances / max(_LEAST_SCALE, float(np.median(distances))))
    scale = math.sqrt(abs(float(np.linalg.det(found.affine[:, :2]))))
    freedom = max(0.05, 1.0 - terms.shape[1] / len(terms))
    return float(np.median(distances)) / max(1.0, scale) / math.sqrt(freedom)


def _terms(points: Float64) -> Float64:
    """Places [M, 2] -> the terms of a map of second order [M, 6], or of first order [M, 3] for few places."""
    x, y = ((points - points.mean(axis=0)) / max(1e-9, float(points.std()))).T
    linear = [np.ones(len(x)), x, y]
    return np.stack(linear if len(x) < _FEWEST_CURVED else [*linear, x * x, x * y, y * y], axis=1)
