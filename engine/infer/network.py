"""What the rest of the engine knows of a network."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Network(Protocol):
    """Turns pixels into raw embeddings. May be called from several threads at once."""

    input_size: int
    """Side of the square it looks at, in pixels."""
    dimension: int
    """Length of its embeddings."""
    batch: int
    """Images it computes at a time; callers do best to bring as many."""

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB [N, S, S, 3] -> float32 [N, E], for any N; a row depends on its own image alone."""
        ...
