"""Networks run by ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError, optional_module
from .one_line import one_line
from .signature import of_session

_MOST_TOGETHER = 16  # more take more time each: what they hold leaves the caches


class OrtNetwork:
    """An ONNX network on the CPU; see :class:`~copytrace.engine.infer.Network`.

    A call runs on the thread that makes it: the pipeline calls from as many threads as it was given, which costs no
    synchronisation inside the network and keeps each image's arithmetic the same for any number of threads. Give
    ``threads`` more than 1 where one call at a time has to be quick. Pictures are computed by 1, 2, 4, ... up to 16 together,
    never more than ``batch``. A row is, to the last bit, that of its picture alone: before that many are first computed
    together it is tried on noise, and where a row differs, as kernels may be chosen by size, they are computed one by one.
    why: the reason for the CPU, where a card would have been taken; not_native: that for ONNX Runtime, where the native core
    would have been.
    Raises: BundleError for a file that is not such a network; MissingExtraError.
    """

    lanes = 0

    def __init__(
        self, path: Path, *, batch: int, threads: int = 1, why: str | None = None, not_native: str | None = None
    ) -> None:
        ort = optional_module("onnxruntime", "cpu", "gpu")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False  # the arena would grow with the number of calling threads and never shrink
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no public base class
            raise BundleError(f"{path} is not a network this ONNX Runtime can load: {one_line(error)}") from error
        self.path = path
        reason = f" ({not_native})" if not_native else ""
        self.runtime = f"ONNX Runtime {ort.__version__}{reason} on the CPU{f' ({why})' if why else ''}"
        self.signature = of_session(self._session, path)
        self.input_size, self.dimension = self.signature.size, self.signature.dimension
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
            rows: NDArray[np.float32] = self._session.run(None, {self.signature.input: part})[0]
        except Exception as error:
            raise BundleError(f"{self.path} cannot compute {len(part)} images: {one_line(error)}") from error
        if rows.shape != (len(part), self.dimension):
            raise BundleError(f"{self.path} gives {list(rows.shape)} for {len(part)} images")
        return rows
