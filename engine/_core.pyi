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

_Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

class References:
    def __init__(self, rows: NDArray[np.float32]) -> None: ...
    def __len__(self) -> int: ...
    def rows(self, begin: int, end: int) -> NDArray[np.float32]: ...
    def within(
        self,
        queries: NDArray[np.float32],
        limit: float | NDArray[np.float64],
        *,
        most: int | None = None,
        alive: NDArray[np.bool_] | None = None,
        threads: int = 1,
        isa: str = "auto",
    ) -> _Columns | None: ...

class NearestSearch:
    def __init__(self, queries: NDArray[np.float32], k: int) -> None: ...
    def add(
        self,
        references: References,
        first: int,
        ranks: NDArray[np.int64],
        *,
        alive: NDArray[np.bool_] | None = None,
        threads: int = 1,
        isa: str = "auto",
    ) -> None: ...
    def result(self, *, threads: int = 1) -> _Columns: ...

def pair_distances(
    queries: NDArray[np.float32],
    rows: NDArray[np.float32],
    query: NDArray[np.int64],
    row: NDArray[np.int64],
    *,
    threads: int = 1,
) -> NDArray[np.float64]: ...
