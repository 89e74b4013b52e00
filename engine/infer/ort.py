"""Networks run by ONNX Runtime on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError, optional_module

_MOST_TOGETHER = 16  # more take more time each: what they hold leaves the caches


class OrtNetwork:
    """An ONNX network on the CPU; see :class:`~copytrace.engine.infer.Network`.

    A call runs on the thread that makes it: the pipeline calls from as many threads as it was given, which costs no
    synchronisation inside the network and keeps each image's arithmetic the same for any number of threads. Give
    ``threads`` more than 1 where one call at a time has to be quick. Pictures are computed by 1, 2, 4, ... up to 16 together,
    never more than ``batch``. A row is, to the last bit, that of its picture alone: before that many are first computed
    together it is tried on noise, and where a row differs, as kernels may be chosen by size, they are computed one by one.
    Raises: BundleError for a file that is not such a network; MissingExtraError.
    """

    def __init__(self, path: Path, *, batch: int, threads: int = 1) -> None:
        ort = optional_module("onnxruntime", "cpu", "gpu")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False  # the arena would grow with the number of calling threads and never shrink
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no public base class
            raise BundleError(f"{path} is not a network this ONNX Runtime can load: {_line(error)}") from error
        self.path = path
        self._input, self.input_size = _pixels_taken(self._session, path)
        self.dimension = _values_given(self._session, path)
        self.batch = batch
        self._exact = {1: True}  # how many together, and whether that changes no row

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB [N, S, S, 3] -> float32 [N, E]. Raises: BundleError when the network fails."""
        parts, start = [np.empty((0, self.dimension), np.float32)], 0
        while start < len(pixels):
            together = self._together(len(pixels) - start)
            parts.append(self._run(pixels[start : start + together]))
            start += together
        return np.concatenate(parts)

    def _together(self, count: int) -> int:
        """How many of ``count`` pictures to compute next."""
        together = 1 << (min(count, self.batch, _MOST_TOGETHER).bit_length() - 1)
        if together not in self._exact:
            noise = np.random.default_rng(0).integers(0, 256, (together, *[self.input_size] * 2, 3), np.uint8)
            alone = np.concatenate([self._run(noise[i : i + 1]) for i in range(together)])
            self._exact[together] = self._run(noise).tobytes() == alone.tobytes()
        return together if self._exact[together] else 1

    def _run(self, part: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            rows: NDArray[np.float32] = self._session.run(None, {self._input: part})[0]
        except Exception as error:
            raise BundleError(f"{self.path} cannot compute {len(part)} images: {_line(error)}") from error
        if rows.shape != (len(part), self.dimension):
            raise BundleError(f"{self.path} gives {list(rows.shape)} for {len(part)} images")
        return rows


def _pixels_taken(session: Any, path: Path) -> tuple[str, int]:
    """Name and side of the input. Raises: BundleError."""
    entries = session.get_inputs()
    shape = entries[0].shape if len(entries) == 1 else []
    if (
        len(shape) != 4
        or entries[0].type != "tensor(uint8)"
        or isinstance(shape[0], int)
        or not isinstance(shape[1], int)
        or shape[1] != shape[2]
        or shape[3] != 3
    ):
        taken = ", ".join(f"{entry.type} {entry.shape}" for entry in entries)
        raise BundleError(f"{path} takes {taken or 'nothing'}, not uint8 pixels [N, S, S, 3] with N free")
    return str(entries[0].name), shape[1]


def _values_given(session: Any, path: Path) -> int:
    """Length of an embedding. Raises: BundleError."""
    exits = session.get_outputs()
    shape = exits[0].shape if len(exits) == 1 else []
    if (
        len(shape) != 2
        or exits[0].type != "tensor(float)"
        or isinstance(shape[0], int)
        or not isinstance(shape[1], int)
    ):
        given = ", ".join(f"{exit_.type} {exit_.shape}" for exit_ in exits)
        raise BundleError(f"{path} gives {given}, not float embeddings [N, E] with N free")
    return shape[1]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
