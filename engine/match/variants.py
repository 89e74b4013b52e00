"""What a picture's features would be had it been mirrored or its grey levels inverted, without extracting them again.

A SIFT descriptor is 4 x 4 cells (down, across) of 8 directions, turned to the keypoint's own angle. Mirrored left to right,
the rows of cells across that angle change places and every direction changes its sign. Inverted, each gradient points the
other way: the keypoint's angle turns by half a turn, and with it the cells. Sizes and responses stay.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from .keypoints import TURN, Keypoints


class Variant(IntEnum):
    """Which edit of the query is assumed, in the order in which they are tried."""

    AS_IS = 0
    MIRRORED = 1
    INVERTED = 2
    MIRRORED_INVERTED = 3

    @property
    def mirrored(self) -> bool:
        return self in (Variant.MIRRORED, Variant.MIRRORED_INVERTED)

    @property
    def inverted(self) -> bool:
        return self in (Variant.INVERTED, Variant.MIRRORED_INVERTED)


_BINS = np.arange(128).reshape(4, 4, 8)


def bins(variant: Variant) -> NDArray[np.int64]:
    """int64 [128]: column k of the variant's descriptors is column ``bins[k]`` of those of the picture as it is."""
    order = _BINS
    if variant.inverted:
        order = order[::-1, ::-1]
    if variant.mirrored:
        order = order[::-1][:, :, -np.arange(8) % 8]
    return np.ascontiguousarray(order.ravel())


def descriptors(rows: NDArray[np.uint8], variant: Variant) -> NDArray[np.uint8]:
    """Descriptors uint8 [F, 128] -> those of the picture mirrored or inverted, uint8 [F, 128]."""
    return np.ascontiguousarray(rows[:, bins(variant)])


def keypoints(points: Keypoints, variant: Variant) -> NDArray[np.int64]:
    """Keypoints uint16 [F, 4] -> int64 [F, 4] in the same units; mirrored places are negative, x becomes -x."""
    moved = points.astype(np.int64)
    if variant.mirrored:
        moved[:, 0] *= -1
        moved[:, 3] = TURN // 2 - moved[:, 3]
    if variant.inverted:
        moved[:, 3] += TURN // 2
    moved[:, 3] %= TURN
    return moved
