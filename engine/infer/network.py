"""What the rest of the engine knows of a network."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..device import DeviceArray

Pixels = NDArray[np.uint8] | DeviceArray
"""uint8 RGB [N, S, S, 3], in the host's memory or on a card."""


class Network(Protocol):
    """Turns pixels into raw embeddings. May be called from several threads at once."""

    input_size: int
    """Side of the square it looks at, in pixels."""
    dimension: int
    """Length of its embeddings."""
    batch: int
    """Images it computes at a time; callers do best to bring as many."""
    lanes: int
    """Calls that are computed side by side at most; 0 for one on every thread that calls."""
    runtime: str
    """What runs it and where, for people."""

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB [N, S, S, 3] -> float32 [N, E], for any N; a row depends on its own image alone."""
        ...


class NetworkOnCard(Network, Protocol):
    """A network on a graphics card; pixels may be there already, and rows may stay."""

    def __call__(self, pixels: Pixels) -> NDArray[np.float32]:
        """uint8 RGB [N, S, S, 3] -> float32 [N, E] in the host's memory, for any N."""
        ...

    def rows_on_card(self, pixels: Pixels) -> DeviceArray:
        """uint8 RGB [N, S, S, 3] -> float32 [N, E] on the card, for any N; they are there when this returns."""
        ...
