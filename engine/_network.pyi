"""Quantised networks on the CPU, by the native core; ``csrc/network/kernels.hpp`` says what the layers compute."""

import numpy as np
from numpy.typing import NDArray

def instruction_sets() -> list[str]:
    """What this processor has, slowest first."""

class Steps:
    """How bytes are numbers: scale * (byte - zero)."""

    def __init__(self, scale: float, zero: int) -> None: ...

class Network:
    """Layer after layer: pixels uint8 [height, width, channels] to embeddings. Maps are numbered in the order in which they are
    made; the input is 0. isa: an instruction set, or "auto" for the best one.

    All that builds raises ValueError for what does not fit together, or cannot be computed.
    """

    def __init__(self, height: int, width: int, channels: int, isa: str = "auto") -> None: ...
    def convolution(
        self,
        map: int,
        weights: NDArray[np.int8],
        bias: NDArray[np.int32],
        scales: NDArray[np.float32],
        zero_in: int,
        zero_out: int,
        step: int,
        pads: list[int],
    ) -> int:
        """weights: [O, height, width, C]; bias, scales: [O]; pads: above, left, below, right. Padding holds ``zero_in``."""

    def depthwise(
        self,
        map: int,
        weights: NDArray[np.int8],
        bias: NDArray[np.int32],
        scales: NDArray[np.float32],
        zero_in: int,
        zero_out: int,
        step: int,
        pads: list[int],
    ) -> int:
        """weights: [3, 3, C] or [5, 5, C]; step 1 or 2; the rest as of a convolution."""

    def sum(self, a: int, steps_a: Steps, b: int, steps_b: Steps, steps: Steps) -> int: ...
    def pool(self, map: int, cell: int, steps: Steps, divisor: float) -> None:
        """Appends a feature for every channel: the root of the sum of squares of the cells' largest values, divided."""

    def head(
        self,
        mean: NDArray[np.float32],
        deviation: NDArray[np.float32],
        steps_in: Steps,
        weights: NDArray[np.int8],
        bias: NDArray[np.int32],
        scales: NDArray[np.float32],
        steps_out: Steps,
        least: float,
    ) -> None:
        """The last layer: (features - mean) / deviation in bytes, weights [E, features], rows of length 1."""

    def shape(self, map: int) -> tuple[int, int, int]:
        """Height, width and channels."""

    @property
    def features(self) -> int: ...
    @property
    def dimension(self) -> int: ...
    def values(self, pixels: NDArray[np.uint8], map: int) -> NDArray[np.uint8]:
        """A map of one picture, uint8 [height, width, channels]."""

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [N, height, width, channels] -> float32 [N, E]; computed by the thread that calls, from any number at once."""
