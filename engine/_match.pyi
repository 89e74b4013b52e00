from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def instruction_sets() -> list[str]: ...
def sift(grey: NDArray[np.uint8], most: int, isa: str = "auto") -> tuple[NDArray[np.float64], NDArray[np.uint8]]: ...

class Rules:
    def __init__(
        self, *, ratio: float, place: float, octaves: float, turns: float, stretch: float, cell: float
    ) -> None: ...

class Quantiser:
    def __init__(self, centroids: NDArray[np.uint8], isa: str = "auto") -> None: ...
    def nearest(
        self, descriptors: NDArray[np.uint8], *, threads: int = 1
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...

class Lists:
    def __init__(self, centroids: NDArray[np.uint8], isa: str = "auto") -> None: ...
    def __len__(self) -> int: ...
    def add(self, descriptors: NDArray[np.uint8], numbers: NDArray[np.int64], *, threads: int = 1) -> None: ...
    def remove(self, numbers: NDArray[np.int64]) -> int: ...
    def nearest(
        self, descriptors: NDArray[np.uint8], most: int, *, threads: int = 1
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]: ...

class Query:
    def __init__(
        self,
        descriptors: NDArray[np.uint8],
        keypoints: NDArray[np.uint16],
        bins: NDArray[np.uint8],
        isa: str = "auto",
    ) -> None: ...
    def verify_many(
        self,
        references: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint16]]],
        *,
        rules: Rules,
        others: NDArray[np.int32] | None = None,
        threads: int = 1,
    ) -> list[tuple[int, int, int, NDArray[np.int32], NDArray[np.float64], float]]: ...
