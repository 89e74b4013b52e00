"""Arrays on a card made one: rows behind each other, and tables beside each other. The copies have not run on a card yet."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .array import DeviceArray
from .cuda import call, runtime, select

Row = NDArray[Any] | DeviceArray


def stacked(rows: Sequence[Row]) -> Row:
    """N arrays of one shape and type -> one with N rows: on the host where all of them are, else on the card.

    Rows that lie one behind the other on a card already are not copied; of others each run is copied as a whole, and what is on
    the host is brought over. All is there when this returns.
    Raises: ValueError for none, and for other shapes or types; DeviceMemoryError, DeviceError.
    """
    card = next((row for row in rows if isinstance(row, DeviceArray)), None)
    if card is None:
        return np.stack([row for row in rows if not isinstance(row, DeviceArray)])
    found = runs(rows)
    if len(found) == 1:
        return _run(rows)
    whole = DeviceArray.empty((len(rows), *card.shape), card.dtype, card.device)
    parts = [_run(rows[start:stop]) for start, stop in found]  # to be kept until they are copied
    for (start, stop), part in zip(found, parts, strict=True):
        whole.rows(start, stop).fill_from(part)
    call(runtime().cudaStreamSynchronize, whole.stream)
    return whole


def on_host(array: Row) -> NDArray[Any]:
    """It itself, or a copy of what is on a card. Raises: DeviceError."""
    return array.to_host() if isinstance(array, DeviceArray) else array


def runs(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """(start, stop) of the longest stretches that lie one behind the other on a card, or are on the host."""
    breaks = [i for i in range(1, len(rows)) if not _follows(rows[i - 1], rows[i])]
    return list(zip([0, *breaks], [*breaks, len(rows)], strict=True))


def side_by_side(tables: Sequence[DeviceArray]) -> DeviceArray:
    """[N, A], [N, B], ... of one type on a card -> [N, A + B + ...]; it is there when this returns.

    Raises: ValueError for none; DeviceMemoryError, DeviceError.
    """
    if not tables:
        raise ValueError("there are no tables to join")
    if len(tables) == 1:
        return tables[0]
    first, cuda = tables[0], runtime()
    size = first.dtype.itemsize
    widths = [size * table.shape[1] for table in tables]
    joined = DeviceArray.empty((len(first), sum(widths) // size), first.dtype, first.device)
    select(first.device)
    for table, width, left in zip(tables, widths, np.cumsum([0, *widths[:-1]]).tolist(), strict=True):
        kind = cuda.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        place, whole = joined.address + left, sum(widths)
        call(cuda.cudaMemcpy2DAsync, place, whole, table.address, width, width, len(table), kind, joined.stream)
    call(cuda.cudaStreamSynchronize, joined.stream)
    return joined


def _follows(before: Row, row: Row) -> bool:
    if isinstance(before, DeviceArray) and isinstance(row, DeviceArray):
        return before.device == row.device and before.address + before.nbytes == row.address
    return isinstance(before, np.ndarray) and isinstance(row, np.ndarray)


def _run(rows: Sequence[Row]) -> Row:
    """Rows of one run as one array, on a card in the same memory."""
    first = rows[0]
    if not isinstance(first, DeviceArray):
        return np.stack([row for row in rows if not isinstance(row, DeviceArray)])
    return DeviceArray(first.address, (len(rows), *first.shape), first.dtype, first.device, first.stream, tuple(rows))
