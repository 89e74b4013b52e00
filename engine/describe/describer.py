"""Raw embeddings to final descriptors, by the native core or by the numpy definition."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import _core
from . import reference

Float32 = NDArray[np.float32]
Backend = Literal["native", "numpy"]
Bank = TypeVar("Bank", Float32, _core.Bank)


@dataclass(frozen=True, slots=True)
class Projection:
    """PCA with whitening: mean float32 [E], components float32 [D, E], eigenvalues float32 [D]."""

    mean: Float32
    components: Float32
    eigenvalues: Float32


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Constants of query normalisation: method 1 or 2, beta, nearest rows for the strength and for the direction."""

    method: Literal[1, 2]
    beta: float
    cosines: int = 3
    directions: int = 100


class Describer:
    """Projects raw embeddings and, for queries, moves them away from the bank.

    backend: "native" (the C++ core, any instruction set) or "numpy" (the definition, slow).
    threads: of the native core, for one call.
    """

    def __init__(
        self, projection: Projection, bank: Float32 | None = None, *, backend: Backend = "native", threads: int = 1
    ) -> None:
        self._projection = projection
        self._bank = bank
        self.backend = backend
        self._threads = threads
        if backend == "native":
            self._core = _core.Projection(projection.mean, projection.components, projection.eigenvalues)
            self._core_bank = None if bank is None else _core.Bank(bank)

    @property
    def dimension(self) -> int:
        return len(self._projection.eigenvalues)

    def project(self, raw: Float32) -> Float32:
        """Raw embeddings [N, E] -> descriptors [N, D] of unit length.

        Raises: ValueError on wrong shapes or dtypes and on NaN.
        """
        if self.backend == "native":
            return self._core.apply(raw, threads=self._threads)
        p = self._projection
        return reference.project(raw, p.mean, p.components, p.eigenvalues)

    def describe_queries(self, raw: Float32, how: Normalisation) -> Float32:
        """Raw embeddings [N, E] -> projected descriptors moved away from the bank [N, D].

        Raises: ValueError when there is no bank, on wrong shapes or dtypes and on NaN.
        """
        if self.backend == "numpy":
            return reference.normalise(
                self.project(raw),
                _present(self._bank),
                method=how.method,
                beta=how.beta,
                cosines=how.cosines,
                directions=how.directions,
            )
        return _core.describe_queries(
            self._core,
            _present(self._core_bank),
            raw,
            method=how.method,
            beta=how.beta,
            cosines=how.cosines,
            directions=how.directions,
            threads=self._threads,
        )

    def background_scores(self, queries: Float32, n: int) -> NDArray[np.float64]:
        """What queries score on average with the n bank rows that they score highest with: descriptors [N, D] -> [N].

        For ``normalise_scores``. The native way is the exact search: the same to the last bit on every instruction set.
        Raises: ValueError when there is no bank, on n < 1, on wrong shapes or dtypes and on NaN.
        """
        bank = _present(self._bank)
        if self.backend == "numpy":
            return reference.background_scores(queries, bank, n)
        if n < 1:
            raise ValueError("n must be at least 1")
        search = _core.NearestSearch(queries, min(n, len(bank)))
        search.add(_core.References(bank), 0, np.arange(len(bank)), threads=self._threads)
        _, _, distances = search.result()
        mean: NDArray[np.float64] = -distances.reshape(len(queries), min(n, len(bank))).mean(axis=1)
        return mean


def _present(bank: Bank | None) -> Bank:
    if bank is None:
        raise ValueError("normalisation needs a bank, and there is none")
    return bank
