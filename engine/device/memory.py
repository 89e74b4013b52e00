"""Memory on the card, and pages of the host that it copies from and to without a detour."""

import ctypes
import math
import weakref
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .cuda import call, runtime, select


class Memory:
    """Bytes on a card, given back when nothing holds this object. Raises: DeviceMemoryError, DeviceError."""

    def __init__(self, size: int, device: int) -> None:
        select(device)
        self.size = size
        self.address = int(call(runtime().cudaMalloc, max(1, size)))
        weakref.finalize(self, runtime().cudaFree, self.address).atexit = False  # the driver may have gone by then


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
