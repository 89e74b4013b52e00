"""Pixels made smaller, by the native core."""

import numpy as np
from numpy.typing import NDArray

def shrink(pixels: NDArray[np.uint8], height: int, width: int, *, instructions: str = "auto") -> NDArray[np.uint8]:
    """uint8 RGB [H, W, 3], C-contiguous -> [height, width, 3] by area averaging, no side larger than before.

    instructions: the set to compute with; all give the same bits.
    Raises: ValueError for other arrays and sizes, and for sets that this processor does not have.
    """

def instruction_sets() -> list[str]:
    """Instruction sets this processor can run, slowest first."""
