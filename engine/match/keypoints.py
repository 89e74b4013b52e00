"""Keypoints in eight bytes: four whole numbers of 16 bits, so that a place, a size and an angle are the same everywhere.

======  =======================  =========================  ==================
column  what                     unit                       range
======  =======================  =========================  ==================
0       x, column of the centre  1/64 pixel                 0 to 1023.98
1       y, row of the centre     1/64 pixel                 0 to 1023.98
2       binary logarithm of the  1/2048 octave (0.03 %)     diameters 1 to 2^31
        diameter in pixels
3       angle, clockwise from    1/65536 turn (0.0055 deg)  a whole turn
        the x axis
======  =======================  =========================  ==================

Pixels are those of the small grey picture. What lies outside a range is put on its end; an angle wraps around. Everything
that compares matches (``reference``, the native core) computes with these whole numbers, which makes its sums exact.
"""

import numpy as np
from numpy.typing import NDArray

PLACE = 64
OCTAVE = 2048
TURN = 65536

Keypoints = NDArray[np.uint16]


def pack(
    x: NDArray[np.float64], y: NDArray[np.float64], size: NDArray[np.float64], angle: NDArray[np.float64]
) -> Keypoints:
    """Pixels, pixels, pixels and degrees, each [F] -> uint16 [F, 4], rounded to the nearest unit.

    Raises: ValueError for NaN or infinite values, and for a size that is not positive.
    """
    values = np.stack([x, y, size, angle], axis=1).astype(np.float64)
    if not np.isfinite(values).all() or (values[:, 2] <= 0).any():
        raise ValueError("places, sizes and angles must be finite, sizes positive")
    values[:, :2] *= PLACE
    values[:, 2] = np.log2(values[:, 2]) * OCTAVE
    values[:, 3] = np.mod(np.rint(values[:, 3] * (TURN / 360.0)), TURN)
    return np.clip(np.rint(values), 0, TURN - 1).astype(np.uint16)


def unpack(keypoints: Keypoints) -> NDArray[np.float64]:
    """uint16 [F, 4] -> float64 [F, 4]: x, y, size in pixels, angle in degrees."""
    values = keypoints.astype(np.float64) / (PLACE, PLACE, OCTAVE, TURN / 360.0)
    values[:, 2] = np.exp2(values[:, 2])
    return values


def places(keypoints: Keypoints) -> NDArray[np.float64]:
    """uint16 [F, 4] -> float64 [F, 2]: x and y in pixels."""
    return keypoints[:, :2].astype(np.float64) / PLACE
