"""Pixels made smaller, by the native core."""

import numpy as np
from numpy.typing import NDArray

def shrink(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """uint8 RGB [H, W, 3], C-contiguous -> [height, width, 3] by area averaging, no side larger than before.

    Raises: ValueError for other arrays and sizes.
    """
