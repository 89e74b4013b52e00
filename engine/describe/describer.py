"""What turns raw embeddings into final descriptors, as the engine sees it, and the forms there are of it."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Backend = Literal["native", "numpy", "cuda"]
BackendName = Literal["auto", "native", "numpy", "cuda"]
"""As it is asked for; "auto" is "cuda" behind networks on a card, else "native"."""


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


class Describer(Protocol):
    """Projects raw embeddings, and measures queries against the bank. Safe to use from several threads."""

    @property
    def backend(self) -> Backend:
        """Which form it is; an unfinished run goes on with the same one."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a descriptor, D."""
        ...

    def project(self, raw: Float32) -> Float32:
        """Raw embeddings [N, E] -> descriptors [N, D] of unit length.

        Raises: ValueError on wrong shapes or dtypes and on NaN.
        """
        ...

    def describe_queries(self, raw: Float32, how: Normalisation) -> Float32:
        """Raw embeddings [N, E] -> projected descriptors moved away from the bank [N, D].

        Raises: ValueError when there is no bank, on wrong shapes or dtypes and on NaN.
        """
        ...

    def background_scores(self, queries: Float32, n: int) -> Float64:
        """What queries score on average with the n bank rows that they score highest with: descriptors [N, D] -> [N].

        For ``normalise_scores``. Raises: ValueError when there is no bank, on n < 1, on wrong shapes or dtypes and on NaN.
        """
        ...


def open_describer(
    projection: Projection, bank: Float32 | None = None, *, backend: Backend = "native", threads: int = 1
) -> Describer:
    """The form that ``backend`` names: "native" (the C++ core, any instruction set), "numpy" (the definition, slow) or
    "cuda" (a graphics card, which also takes embeddings that are there already).

    bank: [M, D], which only queries need. threads: of the native core, for one call.
    Raises: DeviceError, MissingExtraError for "cuda".
    """
    if backend == "cuda":
        from .on_card import CardDescriber

        return CardDescriber(projection, bank, threads=threads)
    if backend == "numpy":
        from .with_numpy import NumpyDescriber

        return NumpyDescriber(projection, bank)
    from .native import NativeDescriber

    return NativeDescriber(projection, bank, threads=threads)


def present(bank: Float32 | None) -> Float32:
    """Raises: ValueError when there is none."""
    if bank is None:
        raise ValueError("normalisation needs a bank, and there is none")
    return bank
