"""How alike two networks' embeddings are."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Parity:
    """Cosines of embeddings with those of the network they are compared with, over photographs."""

    mean: float
    first_percentile: float
    minimum: float

    @classmethod
    def of(cls, a: NDArray[np.float32], b: NDArray[np.float32]) -> "Parity":
        """a, b: float32 [N, E], the same photographs in the same order; not a number where an embedding is none or zero."""
        found = cosines(a, b)
        return cls(float(found.mean()), float(np.percentile(found, 1)), float(found.min()))

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine of each row of ``a`` with the same row of ``b``; not a number where one is zero."""
    product = np.einsum("nd,nd->n", a, b, dtype=np.float64)
    lengths = np.linalg.norm(a.astype(np.float64), axis=1) * np.linalg.norm(b.astype(np.float64), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(product / lengths)
