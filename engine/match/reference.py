"""The definition of correct: verification of a pair in plain numpy. The native core gives the same, to the last bit.

Places, sizes and angles are the whole numbers of ``keypoints``, distances are squared and whole, and so are the sums of the
affine fit: nothing is rounded but the map itself, and that by one order of operations.
"""

import math

import numpy as np
from numpy.typing import NDArray

from . import variants
from .features import MOST_FEATURES, LocalFeatures
from .keypoints import OCTAVE, PLACE, TURN
from .variants import Variant
from .verification import DEFAULT_RULES, NONE, Rules, Verification

Ints = NDArray[np.int64]
Affine = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f: x' = a x + b y + c, y' = d x + e y + f, in units of 1/64 pixel."""

FEWEST = 3
NO_DISTANCE = 1 << 29


def verify(
    query: LocalFeatures,
    reference: LocalFeatures,
    *,
    others: NDArray[np.int32] | None = None,
    rules: Rules = DEFAULT_RULES,
) -> Verification:
    """Of the four variants the one with most inliers, the first of equal ones.

    ``others`` int32 [4, F]: for every variant and feature of the query its squared distance to the nearest feature of another
    picture; a match must be better than that by the ratio as well. A reference with one feature has no second nearest: without
    ``others`` it matches nothing.
    """
    best = NONE
    for variant in Variant:
        rows = variants.descriptors(query.descriptors, variant)
        pairs = nearest_pairs(rows, reference.descriptors, None if others is None else others[variant], rules.ratio)
        found = agreeing(query, reference, variant, pairs, rules)
        if found.inliers > best.inliers:
            best = found
    return best


def squared_distances(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> Ints:
    """uint8 [F, 128], uint8 [G, 128] -> int64 [F, G]."""
    a, b = left.astype(np.int64), right.astype(np.int64)
    return np.asarray((a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * (a @ b.T))


def nearest_pairs(
    query: NDArray[np.uint8], reference: NDArray[np.uint8], others: NDArray[np.int32] | None, ratio: float
) -> Ints:
    """int64 [M, 2]: rows of query and reference that are nearest to each other and pass the ratio test.

    The nearest is the first of equally near ones. A query row is dropped when another one is nearer to its nearest, or as near
    and before it among those that are left. The distance must be below ``ratio`` times the second smallest, and ``others``.
    """
    if not len(query) or not len(reference):
        return np.zeros((0, 2), np.int64)
    distances = squared_distances(query, reference)
    rows, best = np.arange(len(query)), distances.argmin(axis=1)
    nearest = distances[rows, best]
    mutual = nearest == distances.min(axis=0)[best]
    distances[rows, best] = NO_DISTANCE
    second = distances.min(axis=1)
    if others is not None:
        second = np.minimum(second, others)
    good = mutual & (second < NO_DISTANCE) & (nearest < ratio * ratio * second)
    rows, best = rows[good], best[good]
    first = np.sort(np.unique(best, return_index=True)[1])
    return np.stack([rows[first], best[first]], axis=1)


def agreeing(
    query: LocalFeatures, reference: LocalFeatures, variant: Variant, pairs: Ints, rules: Rules
) -> Verification:
    """Of matches int64 [M, 2] those that agree on one map, found from one match at a time and fitted twice."""
    if len(pairs) < FEWEST:
        return NONE
    moved = variants.keypoints(query.keypoints, variant)[pairs[:, 0]]
    target = reference.keypoints[pairs[:, 1]].astype(np.int64)
    octaves, turns = target[:, 2] - moved[:, 2], (target[:, 3] - moved[:, 3]) % TURN
    inside, seed = proposed(moved, target, octaves, turns, rules)
    if inside.sum() < FEWEST:
        return NONE
    to_reference = similarity(moved[seed], target[seed], int(octaves[seed]), int(turns[seed]))
    near = np.abs(octaves - octaves[seed]) < 1.5 * rules.octaves * OCTAVE
    for factor in (1.5, 1.0):
        fit = least_squares(moved[inside], target[inside], rules.stretch)
        if fit is None:
            break
        within = near & (squared_errors(fit, moved, target) < (factor * rules.place * PLACE) ** 2)
        if within.sum() < FEWEST:
            break
        inside, to_reference = within, fit
    count = min(distinct(moved[inside], rules.cell), distinct(target[inside], rules.cell))
    if count < FEWEST:
        return NONE
    kept = pairs[inside].astype(np.int32)
    affine = inverse(to_reference, variant)
    size = min(spread(moved[inside]), spread(target[inside]))
    return Verification(count, variant, len(pairs), kept[:, 0].copy(), kept[:, 1].copy(), affine, size)


def similarity(moved: Ints, target: Ints, octaves: int, turns: int) -> Affine:
    """The map that one match proposes: the query's keypoint onto the reference's, with its size and angle.

    Scale and turn are rounded to 32 bits, so that the last digit of a library's sine cannot show.
    """
    scale, angle = math.exp2(octaves / OCTAVE), 2.0 * math.pi * turns / TURN
    cosine, sine = float(np.float32(scale * math.cos(angle))), float(np.float32(scale * math.sin(angle)))
    x, y, u, v = (float(value) for value in (*moved[:2], *target[:2]))
    return cosine, -sine, u - (cosine * x - sine * y), sine, cosine, v - (sine * x + cosine * y)


def proposed(moved: Ints, target: Ints, octaves: Ints, turns: Ints, rules: Rules) -> tuple[NDArray[np.bool_], int]:
    """The match whose similarity most matches agree with, the first of equal ones: bool [M], its number."""
    best, seed = np.zeros(len(moved), bool), -1
    for i in range(len(moved)):
        errors = squared_errors(similarity(moved[i], target[i], int(octaves[i]), int(turns[i])), moved, target)
        difference = (turns - turns[i]) % TURN
        agree = errors < (2.0 * rules.place * PLACE) ** 2
        agree &= np.abs(octaves - octaves[i]) < rules.octaves * OCTAVE
        agree &= np.minimum(difference, TURN - difference) < rules.turns * TURN
        if agree.sum() > best.sum():
            best, seed = agree, i
    return best, seed


def squared_errors(fit: Affine, moved: Ints, target: Ints) -> NDArray[np.float64]:
    a, b, c, d, e, f = fit
    x, y = moved[:, 0].astype(np.float64), moved[:, 1].astype(np.float64)
    across, down = a * x + b * y + c - target[:, 0], d * x + e * y + f - target[:, 1]
    return np.asarray(across * across + down * down)


def covariances(left: Ints, right: Ints) -> int:
    """M^2 times the covariance, exactly."""
    return len(left) * int((left * right).sum()) - int(left.sum()) * int(right.sum())


def least_squares(moved: Ints, target: Ints, stretch: float) -> Affine | None:
    """The affine map of least squared error; None when the places lie on a line, or it mirrors or stretches too much."""
    (x, y), (u, v) = moved[:, :2].T, target[:, :2].T
    xx, xy, yy = (float(covariances(p, q)) for p, q in ((x, x), (x, y), (y, y)))
    xu, yu, xv, yv = (float(covariances(p, q)) for p, q in ((x, u), (y, u), (x, v), (y, v)))
    area = xx * yy - xy * xy
    if area <= 1e-6 * (xx * yy):
        return None
    a, b = (xu * yy - yu * xy) / area, (yu * xx - xu * xy) / area
    d, e = (xv * yy - yv * xy) / area, (yv * xx - xv * xy) / area
    # With singular values s >= t: a^2 + b^2 + d^2 + e^2 = s^2 + t^2, the determinant s t; their ratio grows with s / t.
    if a * a + b * b + (d * d + e * e) > (stretch + 1.0 / stretch) * (a * e - b * d):
        return None
    n = float(len(x))
    mean_x, mean_y, mean_u, mean_v = (float(int(values.sum())) / n for values in (x, y, u, v))
    return a, b, mean_u - (a * mean_x + b * mean_y), d, e, mean_v - (d * mean_x + e * mean_y)


def distinct(points: Ints, cell: float) -> int:
    """Different cells that the places [M, >= 2] lie in."""
    width = max(1, round(cell * PLACE))
    return len({(int(x) // width, int(y) // width) for x, y in points[:, :2]})


def spread(points: Ints) -> float:
    """Radius in pixels of the circle as large as the places' ellipse of standard deviations."""
    x, y = points[:, 0], points[:, 1]
    xx, xy, yy = float(covariances(x, x)), float(covariances(x, y)), float(covariances(y, y))
    return math.sqrt(math.sqrt(max(0.0, xx * yy - xy * xy))) / (float(len(points)) * PLACE)


def inverse(fit: Affine, variant: Variant) -> NDArray[np.float64]:
    """Variant's frame of the query -> reference, in 1/64 pixel: reference -> query as it is, float64 [2, 3], in pixels."""
    a, b, c, d, e, f = fit
    area, sign = a * e - b * d, -1.0 if variant.mirrored else 1.0
    p, q, r, s = e / area, -b / area, -d / area, a / area
    return np.array(
        [[sign * p, sign * q, sign * (-(p * c + q * f) / PLACE)], [r, s, -(r * c + s * f) / PLACE]], np.float64
    )


assert MOST_FEATURES**2 * TURN**2 < 2**63  # what `covariances` may reach
