"""Where a runtime finds the pixels of a batch and leaves its rows: always at the same addresses."""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..device import DeviceArray, Stream, pinned
from .network import Pixels


class Buffers(Protocol):
    """Memory for one batch at a time. Work is given to a stream; :meth:`wait` waits for it."""

    place: Literal["cpu", "cuda"]
    device: int
    pixels_address: int
    """uint8 [most, S, S, 3]; what is behind the pixels of the current batch is of earlier ones."""
    rows_address: int
    """float32 [most, E]."""
    stream: int
    """Address of the stream on which the runtime has to compute; 0 for none."""

    def load(self, pixels: Pixels) -> None:
        """Put the pixels of a batch in their place."""
        ...

    def fetch(self, rows: NDArray[np.float32] | DeviceArray) -> None:
        """Put as many rows of the result as ``rows`` has into it; they are there after :meth:`wait`."""
        ...

    def wait(self) -> None:
        """Until all that was asked for is done. Raises: DeviceError for what failed of it."""
        ...


class HostBuffers:
    """In the host's memory, for a runtime that computes on the CPU: all is done at once."""

    place: Literal["cpu", "cuda"] = "cpu"
    device = 0
    stream = 0

    def __init__(self, most: int, size: int, dimension: int) -> None:
        self._pixels = np.zeros((most, size, size, 3), np.uint8)
        self._rows = np.zeros((most, dimension), np.float32)
        self.pixels_address, self.rows_address = self._pixels.ctypes.data, self._rows.ctypes.data

    def load(self, pixels: Pixels) -> None:
        self._pixels[: len(pixels)] = pixels.to_host() if isinstance(pixels, DeviceArray) else pixels

    def fetch(self, rows: NDArray[np.float32] | DeviceArray) -> None:
        part = self._rows[: len(rows)]
        if isinstance(rows, DeviceArray):
            rows.fill_from(part)
        else:
            rows[:] = part

    def wait(self) -> None:
        pass


class CardBuffers:
    """On a card, with a stream of their own and pinned memory to copy from and to.

    Raises: DeviceMemoryError, DeviceError.
    """

    place: Literal["cpu", "cuda"] = "cuda"

    def __init__(self, most: int, size: int, dimension: int, device: int = 0) -> None:
        self.device = device
        self._stream = Stream(device)
        self.stream = self._stream.handle
        self._pixels = DeviceArray.from_host(np.zeros((most, size, size, 3), np.uint8), device, self.stream)
        self._rows = DeviceArray.empty((most, dimension), np.float32, device, self.stream)
        self._pixels_in, self._rows_out = pinned(self._pixels.shape, np.uint8), pinned(self._rows.shape, np.float32)
        self.pixels_address, self.rows_address = self._pixels.address, self._rows.address
        self._wanted: NDArray[np.float32] | None = None

    @property
    def on(self) -> Stream:
        """The stream itself."""
        return self._stream

    def load(self, pixels: Pixels) -> None:
        target = self._pixels.rows(0, len(pixels))
        if isinstance(pixels, DeviceArray):
            self._stream.wait_for_stream(pixels.stream)
            target.fill_from(pixels)
        else:
            self._pixels_in[: len(pixels)] = pixels
            target.fill_from(self._pixels_in[: len(pixels)])

    def fetch(self, rows: NDArray[np.float32] | DeviceArray) -> None:
        source = self._rows.rows(0, len(rows))
        if isinstance(rows, DeviceArray):
            rows.fill_from(source, self.stream)
        else:
            source.copy_to(self._rows_out[: len(rows)])
            self._wanted = rows

    def wait(self) -> None:
        self._stream.synchronise()
        if self._wanted is not None:
            self._wanted[:] = self._rows_out[: len(self._wanted)]
            self._wanted = None
