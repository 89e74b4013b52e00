import numpy as np
from numpy.typing import NDArray

def squared_distances(
    a: NDArray[np.float32], b: NDArray[np.float32], i: NDArray[np.int64], j: NDArray[np.int64]
) -> NDArray[np.float64]: ...
