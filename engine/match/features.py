"""Local features of a picture: SIFT on a small grey version, as RootSIFT in bytes, with keypoints in eight bytes each.

SIFT (D. Lowe, 2004) is computed by the native core as ``sift_reference`` defines it, to the last bit. RootSIFT is the square
root of the descriptor scaled to a sum of 1 (Arandjelovic and Zisserman, 2012), which has unit length: it is stored times 512,
rounded, at most 255.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import _match
from . import keypoints as packed
from .grey import Frame, Grey, small_grey

DESCRIPTOR = 128
UNIT = 512
"""Length of a stored descriptor, up to rounding."""
ROW_BYTES = DESCRIPTOR + 8

QUERY_FEATURES = 300
REFERENCE_FEATURES = 200
MOST_FEATURES = 4096
"""More are refused everywhere: up to here every sum of the geometry is exact in 64 bits."""

_LEAST_SIDE = 12  # below it SIFT's own border of 5 pixels leaves nothing to look at


@dataclass(frozen=True, eq=False, slots=True)
class LocalFeatures:
    """The features of one picture, the strongest first.

    ``descriptors`` uint8 [F, 128] of length 512 and ``keypoints`` uint16 [F, 4] as ``keypoints`` says, both C-contiguous;
    ``frame`` gives the size of the small picture they lie in, and of the original. F may be 0. Raises ValueError for other
    shapes and types, and for more than 4096 features.
    """

    descriptors: NDArray[np.uint8]
    keypoints: NDArray[np.uint16]
    frame: Frame

    def __post_init__(self) -> None:
        count = len(self.descriptors)
        for name, array, dtype, shape in (
            ("descriptors", self.descriptors, np.uint8, (count, DESCRIPTOR)),
            ("keypoints", self.keypoints, np.uint16, (count, 4)),
        ):
            if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
                raise ValueError(f"{name} must be {np.dtype(dtype)} {list(shape)} and C-contiguous")
        if count > MOST_FEATURES:
            raise ValueError(f"{count} features are more than the {MOST_FEATURES} allowed")

    def __len__(self) -> int:
        return len(self.descriptors)

    def strongest(self, count: int) -> "LocalFeatures":
        """The first ``count`` of them, or all where there are fewer."""
        return LocalFeatures(self.descriptors[:count], self.keypoints[:count], self.frame)

    def to_rows(self) -> NDArray[np.uint8]:
        """uint8 [F, 136]: the descriptor, then the keypoint's four numbers, lower byte first. The form to store."""
        return np.hstack([self.descriptors, self.keypoints.astype("<u2").view(np.uint8)])

    @classmethod
    def from_rows(cls, rows: NDArray[np.uint8], frame: Frame) -> "LocalFeatures":
        """The inverse of ``to_rows``. Raises: ValueError for another shape or type."""
        if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != ROW_BYTES:
            raise ValueError(f"rows must be uint8 [F, {ROW_BYTES}], not {rows.dtype} {list(rows.shape)}")
        points = np.ascontiguousarray(rows[:, DESCRIPTOR:]).view("<u2").astype(np.uint16)
        return cls(np.ascontiguousarray(rows[:, :DESCRIPTOR]), points.reshape(-1, 4), frame)


def extract(pixels: NDArray[np.uint8], most: int = QUERY_FEATURES) -> LocalFeatures:
    """The ``most`` strongest features of uint8 RGB [H, W, 3] or grey [H, W]; a blank or tiny picture has none.

    Raises: ValueError for another shape or type, a picture without pixels, or ``most`` outside 1 to 4096.
    """
    return extract_small(*small_grey(pixels), most)


def extract_small(grey: Grey, frame: Frame, most: int = QUERY_FEATURES) -> LocalFeatures:
    """The same from the small grey picture uint8 [h, w] of ``small_grey``."""
    if not 1 <= most <= MOST_FEATURES:
        raise ValueError(f"the number of features must be 1 to {MOST_FEATURES}, not {most}")
    if min(grey.shape) < _LEAST_SIDE:
        return LocalFeatures(np.zeros((0, DESCRIPTOR), np.uint8), np.zeros((0, 4), np.uint16), frame)
    points, descriptors = _match.sift(grey, most)
    return LocalFeatures(descriptors, packed.pack(*points.T), frame)
