"""Quantised networks run by the native core."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ... import _network
from ...errors import BundleError
from .build import build
from .wiring import NotUnderstoodError

FAST = "avx512vnni"
"""The instruction set with which it is faster than ONNX Runtime. Without such dot products ONNX Runtime's own may also
saturate, and its descriptors be others."""


class NativeRuntimeError(Exception):
    """Why the native runtime does not compute a network."""


class NativeNetwork:
    """An int8 network of the family that :mod:`.build` understands, on the CPU; see :class:`~copytrace.engine.infer.Network`.

    A call runs on the thread that makes it. Its rows are those of ONNX Runtime to the last bit, where that has dot products of
    bytes that do not saturate; they depend on their picture alone. isa: instruction set, "auto" for the best one.
    Raises: NativeRuntimeError for a graph that it does not understand; BundleError for a file that cannot be read.
    """

    lanes = 0

    def __init__(self, path: Path, *, batch: int, isa: str = "auto", why: str | None = None) -> None:
        try:
            self._network, self.signature = build(path, isa)
        except NotUnderstoodError as error:
            raise NativeRuntimeError(f"the native runtime does not know such a network: {error}") from error
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error}") from error
        self.path = path
        self.runtime = f"native int8 on the CPU{f' ({why})' if why else ''}"
        self.input_size, self.dimension = self.signature.size, self.signature.dimension
        self.batch = batch

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB [N, S, S, 3] -> float32 [N, E]. Raises: BundleError for other pixels."""
        try:
            return self._network(np.ascontiguousarray(pixels))
        except ValueError as error:
            raise BundleError(f"{self.path}: {error}") from error


def why_slow() -> str | None:
    """Why ONNX Runtime is the faster one on this processor; None where the native core is."""
    return None if FAST in _network.instruction_sets() else f"this processor has no {FAST}"
