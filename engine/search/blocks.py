"""References as the searches go through them: block after block, each in the native core's own form."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .pairs import Rows, blocks


class Block(NamedTuple):
    """Some references: the number of the first, the rows, and which of them count (bool [M]; all where there is no mask)."""

    start: int
    rows: _core.References
    alive: NDArray[np.bool_] | None


class Blocks(Rows, Protocol):
    """References [M, D] that can be gone through any number of times, and sampled by slices."""

    def __iter__(self) -> Iterator[Block]: ...


class StreamedBlocks:
    """An array or an HDF5 dataset, read ``size`` rows at a time. Raises: SearchError on bad values."""

    def __init__(self, rows: Rows, size: int) -> None:
        self._rows = rows
        self._size = size

    @property
    def shape(self) -> tuple[int, ...]:
        return self._rows.shape

    def __getitem__(self, rows: slice, /) -> Any:
        return self._rows[rows]

    def __iter__(self) -> Iterator[Block]:
        for start, block in blocks(self._rows, self._size):
            yield Block(start, _core.References(block), None)
