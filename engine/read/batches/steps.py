"""The steps of preprocessing, as numbers for a library that resizes by interpolation only.

``copytrace.engine.read.decode`` averages areas along a side that shrinks to half or less. Here such a side is first brought
to k times the square by bilinear interpolation, k being the rounded ratio, and then each k neighbours are averaged. Measured on
photographs against averaging areas exactly: a mean absolute difference of 0.1 to 0.3 grey levels (0.5 at most); the triangular
filter that DALI has for shrinking, 0.8 to 1.5 (3). The other sides are interpolated in both.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..jpeg import JpegHeader

_AVERAGING = 2  # as in ``decode``


@dataclass(frozen=True, slots=True)
class Steps:
    """What is done to one picture, uint8 [H, W, 3], to make it a square of side S.

    interpolated: height and width to resize to, float32 [2]. groups: the shape (S, k, S, k', 3), int32 [5], of which the second
    and the fourth axis are averaged. upright: the affine map, float32 [2, 3], from a place (x, y) in the upright square to that
    in the square as stored.
    """

    interpolated: NDArray[np.float32]
    groups: NDArray[np.int32]
    upright: NDArray[np.float32]


def steps(header: JpegHeader, size: int) -> Steps:
    """From a picture as it is stored, before its orientation is applied, to the upright square."""
    rows, columns = neighbours(header.height, size), neighbours(header.width, size)
    return Steps(
        np.array([rows * size, columns * size], np.float32),
        np.array([size, rows, size, columns, 3], np.int32),
        upright_map(header.orientation, size),
    )


def neighbours(length: int, size: int) -> int:
    """How many neighbours along a side are averaged into one."""
    return int(length / size + 0.5) if length >= _AVERAGING * size else 1


def upright_map(orientation: int, size: int) -> NDArray[np.float32]:
    """The map of ``Steps.upright`` for an EXIF orientation (1 to 8), float32 [2, 3]; places are measured from the corner.

    Each value of the tag says where the first row and the first column of the stored picture belong (Exif 2.3, tag 0x0112).
    """
    along, back = [1, 0, 0], [-1, 0, size]
    down, up = [0, 1, 0], [0, -1, size]
    rows = {
        1: (along, down),
        2: (back, down),
        3: (back, up),
        4: (along, up),
        5: (down, along),
        6: (down, back),
        7: (up, back),
        8: (up, along),
    }[orientation]
    return np.array(rows, np.float32)
