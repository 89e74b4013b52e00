"""An array on a card, whoever owns its memory."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import DeviceError
from .cuda import call, runtime, select
from .memory import Memory


@dataclass(frozen=True, eq=False, slots=True)
class DeviceArray:
    """Values in the memory of a card, one row behind the other without gaps.

    address: of the first. device: the card's index. stream: the address of the stream on which the values are made and may be
    used without waiting; 0 is the default stream. owner: what keeps the memory; it is let go with the array.
    ``__cuda_array_interface__`` (version 3) hands it to other libraries without a copy.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    device: int
    stream: int
    owner: object

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: DTypeLike, device: int = 0, stream: int = 0) -> "DeviceArray":
        """Memory whose values are not set. Raises: DeviceMemoryError, DeviceError, MissingExtraError."""
        kind = np.dtype(dtype)
        memory = Memory(math.prod(shape) * kind.itemsize, device)
        return cls(memory.address, tuple(shape), kind, device, stream, memory)

    @classmethod
    def from_host(cls, array: NDArray[Any], device: int = 0, stream: int = 0) -> "DeviceArray":
        """A copy of an array; it is done when this returns. Raises: DeviceMemoryError, DeviceError, MissingExtraError."""
        made = cls.empty(array.shape, array.dtype, device, stream)
        made.fill_from(array)
        call(runtime().cudaStreamSynchronize, stream)
        return made

    @classmethod
    def of(cls, source: Any, device: int | None = None) -> "DeviceArray":
        """What another library has on a card, without a copy; ``source`` is kept.

        source: anything with ``__cuda_array_interface__``; without a stream of its own it counts as ready. device: the card
        that it is on (default: the driver is asked).
        Raises: TypeError for what has no such interface; ValueError for rows with gaps; DeviceError.
        """
        if isinstance(source, cls):
            return source
        said = getattr(source, "__cuda_array_interface__", None)
        if not isinstance(said, dict):
            raise TypeError(f"{type(source).__name__} is no array on a graphics card (no __cuda_array_interface__)")
        shape, dtype = tuple(int(length) for length in said["shape"]), np.dtype(said["typestr"])
        strides = said.get("strides")
        if strides is not None and 0 not in shape and not _without_gaps(tuple(strides), shape, dtype.itemsize):
            raise ValueError(
                f"an array on a graphics card must be C-contiguous, not {shape} with strides {tuple(strides)}"
            )
        address = int(said["data"][0])
        stream = said.get("stream")
        where = device_of(address) if device is None else device
        return cls(address, shape, dtype, where, 0 if stream in (None, 1) else int(stream), source)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "stream": self.stream or 1,  # there the default stream is 1
            "version": 3,
        }

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> "DeviceArray":
        """Rows of it, in the same memory, as numpy gives them: ``array[2:5]``. Raises: IndexError for steps other than 1."""
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise IndexError(f"rows of an array on a card lie side by side: no step of {step}")
        return self.rows(start, max(start, stop))

    def rows(self, start: int, stop: int) -> "DeviceArray":
        """Rows of it, in the same memory. Raises: IndexError where there are none such."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"rows {start} to {stop} of {len(self)}")
        step = self.nbytes // len(self) if len(self) else 0
        shape = (stop - start, *self.shape[1:])
        return DeviceArray(self.address + start * step, shape, self.dtype, self.device, self.stream, self.owner)

    def to_host(self) -> NDArray[Any]:
        """A copy of it, when all that its stream was given is done. Raises: DeviceError."""
        result = np.empty(self.shape, self.dtype)
        self.copy_to(result)
        call(runtime().cudaStreamSynchronize, self.stream)
        return result

    def copy_to(self, array: NDArray[Any], stream: int | None = None) -> None:
        """Give a stream (default: its own) the task of copying it into an array of the host.

        Raises: ValueError for another shape or type; DeviceError.
        """
        self._check(array.shape, array.dtype, array.flags.c_contiguous)
        kind = runtime().cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(array.ctypes.data, self.address, kind, stream)

    def fill_from(self, source: "NDArray[Any] | DeviceArray", stream: int | None = None) -> None:
        """Give a stream (default: its own) the task of copying an array into it; ``source`` is to stay until that is done.

        Raises: ValueError for another shape or type; DeviceError.
        """
        kinds = runtime().cudaMemcpyKind
        if isinstance(source, DeviceArray):
            self._check(source.shape, source.dtype, True)
            self._copy(self.address, source.address, kinds.cudaMemcpyDefault, stream)
        else:
            self._check(source.shape, source.dtype, source.flags.c_contiguous)
            self._copy(self.address, source.ctypes.data, kinds.cudaMemcpyHostToDevice, stream)

    def _copy(self, target: int, source: int, kind: Any, stream: int | None) -> None:
        select(self.device)
        call(runtime().cudaMemcpyAsync, target, source, self.nbytes, kind, self.stream if stream is None else stream)

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any], contiguous: bool) -> None:
        if shape != self.shape or dtype != self.dtype or not contiguous:
            found = f"{dtype} {list(shape)}{'' if contiguous else ' with gaps'}"
            raise ValueError(f"{self.dtype} {list(self.shape)} cannot be copied from or to {found}")


def device_of(address: int) -> int:
    """The card that an address is on. Raises: DeviceError where it is on none."""
    cuda = runtime()
    facts = call(cuda.cudaPointerGetAttributes, address)
    if facts.type not in (cuda.cudaMemoryType.cudaMemoryTypeDevice, cuda.cudaMemoryType.cudaMemoryTypeManaged):
        raise DeviceError(f"the address {address:#x} is not in a graphics card's memory")
    return int(facts.device)


def _without_gaps(strides: tuple[int, ...], shape: tuple[int, ...], size: int) -> bool:
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and stride != size:
            return False
        size *= length
    return True
