import numpy as np
from numpy.typing import NDArray

def instruction_sets() -> list[str]: ...

class Projection:
    def __init__(
        self, mean: NDArray[np.float32], components: NDArray[np.float32], eigenvalues: NDArray[np.float32]
    ) -> None: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    def apply(self, raw: NDArray[np.float32], *, threads: int = 1, isa: str = "auto") -> NDArray[np.float32]: ...

class Bank:
    def __init__(self, rows: NDArray[np.float32]) -> None: ...
    def nearest(
        self, queries: NDArray[np.float32], k: int, *, threads: int = 1, isa: str = "auto"
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...
    def normalise(
        self,
        queries: NDArray[np.float32],
        *,
        method: int,
        beta: float,
        cosines: int = 3,
        directions: int = 100,
        threads: int = 1,
        isa: str = "auto",
    ) -> NDArray[np.float32]: ...

def describe_queries(
    projection: Projection,
    bank: Bank,
    raw: NDArray[np.float32],
    *,
    method: int,
    beta: float,
    cosines: int = 3,
    directions: int = 100,
    threads: int = 1,
    isa: str = "auto",
) -> NDArray[np.float32]: ...

class Scan:
    def __init__(self, rows: NDArray[np.float32]) -> None: ...
    def above(
        self,
        queries: NDArray[np.float32],
        thresholds: NDArray[np.float32],
        *,
        threads: int = 1,
        isa: str = "auto",
    ) -> NDArray[np.int64]: ...
