"""Memory on the card, and pages of the host that it copies from and to without a detour."""

import ctypes
import math
import weakref
from collections import defaultdict, deque
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import DeviceMemoryError
from .cuda import call, runtime, select

_PAGE = 2 << 20  # bytes that a card's memory comes in
_LARGEST_KEPT = 64 << 20
_MOST_KEPT = 8  # of each size
_kept: defaultdict[tuple[int, int], deque[int]] = defaultdict(deque)
"""(device, size) -> addresses that nobody uses. Finalizers change the deques, in whatever thread, so without a lock."""


class Memory:
    """At least ``size`` bytes on a card, given back when nothing holds this object; by then no work may be under way with them.

    To return memory to the driver makes all of the card wait, so some of what was given back is kept and taken again.
    Raises: DeviceMemoryError, DeviceError.
    """

    def __init__(self, size: int, device: int) -> None:
        self.size = _rounded(size)
        try:
            self.address = _kept[device, self.size].pop()
        except IndexError:
            self.address = _new(self.size, device)
        weakref.finalize(
            self, _give_back, self.address, self.size, device
        ).atexit = False  # the driver may have gone by then


def pinned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array in the host's memory, of values that are not set, that copies to and from a card need not go round.

    Raises: DeviceMemoryError, DeviceError.
    """
    kind = np.dtype(dtype)
    count = math.prod(shape)
    size = max(1, count * kind.itemsize)
    address = int(call(runtime().cudaHostAlloc, size, 0))
    pages = (ctypes.c_char * size).from_address(address)
    weakref.finalize(pages, runtime().cudaFreeHost, address).atexit = False
    return np.frombuffer(memoryview(pages), kind, count).reshape(shape)


def _new(size: int, device: int) -> int:
    select(device)
    try:
        return int(call(runtime().cudaMalloc, size))
    except DeviceMemoryError:
        for addresses in list(_kept.values()):
            while addresses:
                runtime().cudaFree(addresses.pop())
        return int(call(runtime().cudaMalloc, size))


def _give_back(address: int, size: int, device: int) -> None:
    addresses = _kept[device, size]
    if size <= _LARGEST_KEPT and len(addresses) < _MOST_KEPT:
        addresses.append(address)
    else:
        runtime().cudaFree(address)


def _rounded(size: int) -> int:
    """So that sizes come again: a power of two, or a number of pages."""
    return 1 << max(8, (size - 1).bit_length()) if size < _PAGE else -(-size // _PAGE) * _PAGE
