"""References as the searches go through them: block after block, each in the form of who scans them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .pairs import Float32, Indices, Rows, blocks

Item = TypeVar("Item")


class Scanned(Protocol):
    """References made ready to be scanned: the native core's, or those of a graphics card."""

    def __len__(self) -> int: ...

    def within(
        self,
        queries: Float32,
        limit: float | NDArray[np.float64],
        *,
        most: int | None = None,
        alive: NDArray[np.bool_] | None = None,
        threads: int = 1,
    ) -> tuple[Indices, Indices, NDArray[np.float64]] | None:
        """queries [N, D] -> query, row and squared distance of all pairs within a squared distance (one, or [N]), in no order;
        None when there are more than ``most``. alive: the rows that count, bool [M] (default: all)."""
        ...


class Scanner(Protocol):
    """What makes references ready to be scanned."""

    block_rows: int
    """References that it does best to be given at a time."""
    lanes: int
    """Threads that do best to scan side by side."""

    def __call__(self, rows: Float32) -> Scanned: ...


R = TypeVar("R", bound=Scanned, covariant=True)


class Block(NamedTuple, Generic[R]):
    """Some references: the number of the first, the rows, and which of them count (bool [M]; all where there is no mask)."""

    start: int
    rows: R
    alive: NDArray[np.bool_] | None


class Blocks(Rows, Protocol[R]):
    """References [M, D] that can be gone through any number of times, and sampled by slices."""

    def __iter__(self) -> Iterator[Block[R]]: ...


class StreamedBlocks(Generic[R]):
    """An array or an HDF5 dataset, read ``size`` rows at a time, each made ready by ``made``.

    ahead: whether the next block is made while one is looked at. Raises: SearchError on bad values.
    """

    def __init__(self, rows: Rows, size: int, made: Callable[[Float32], R], *, ahead: bool = False) -> None:
        self._rows = rows
        self._size = size
        self._made = made
        self._ahead = ahead

    @property
    def shape(self) -> tuple[int, ...]:
        return self._rows.shape

    def __getitem__(self, rows: slice, /) -> Any:
        return self._rows[rows]

    def __iter__(self) -> Iterator[Block[R]]:
        made = (Block(start, self._made(block), None) for start, block in blocks(self._rows, self._size))
        return one_ahead(made) if self._ahead else made


def streamed(rows: Rows, size: int, scanner: Scanner | None) -> StreamedBlocks[Scanned]:
    """References by blocks for the native core, ``size`` at a time, or for another scanner, as many as it likes."""
    if scanner is None:
        return StreamedBlocks(rows, size, _core.References)
    return StreamedBlocks(rows, scanner.block_rows, scanner, ahead=True)


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, the next one always being made in another thread."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
