"""The small grey picture that local features and the look at aligned pixels are both taken from."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]

SHORT_SIDE = 150
LEAST_SIDE = 100
LONG_SIDE = 1000


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a small picture comes from: its own size and that of the picture it was made of, in pixels."""

    width: int
    height: int
    original_width: int
    original_height: int

    @property
    def scale(self) -> tuple[float, float]:
        """Original pixels per pixel of the small picture, across and down."""
        return self.original_width / self.width, self.original_height / self.height

    def to_original(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places (x, y) [N, 2] in the small picture -> in the original; a pixel's centre has whole coordinates in both."""
        return np.asarray((places + 0.5) * self.scale - 0.5, np.float64)


def small_size(width: int, height: int) -> tuple[int, int]:
    """The size a picture is brought to: short side 150 when it is longer, 100 when it is shorter than that.

    In very long pictures the long side is at most 1000 and the short one what is left, at least 1.
    """
    short, long = min(width, height), max(width, height)
    factor = SHORT_SIDE / short if short > SHORT_SIDE else max(1.0, LEAST_SIDE / short)
    factor = min(factor, LONG_SIDE / long)
    return max(1, round(width * factor)), max(1, round(height * factor))


def small_grey(pixels: NDArray[np.uint8]) -> tuple[Grey, Frame]:
    """uint8 RGB [H, W, 3] or grey [H, W] -> the small grey picture uint8 [h, w] and where it comes from.

    Raises: ValueError for another shape or type, and for a picture without pixels.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(
            f"pixels must be uint8 [H, W, 3] (RGB) or [H, W] (grey), not {pixels.dtype} {list(pixels.shape)}"
        )
    if 0 in pixels.shape:
        raise ValueError(f"the picture has no pixels: {list(pixels.shape)}")
    pixels = np.ascontiguousarray(pixels)  # OpenCV takes no mirrored views
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    size = small_size(width, height)
    if size != (width, height):
        method = cv2.INTER_AREA if size[0] * size[1] < width * height else cv2.INTER_CUBIC
        grey = cv2.resize(grey, size, interpolation=method)
    return np.ascontiguousarray(grey, np.uint8), Frame(*size, width, height)
