"""Networks run by ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError, optional_module


class OrtNetwork:
    """An ONNX network on the CPU; see :class:`~copytrace.engine.infer.Network`.

    A call runs on the thread that makes it: the pipeline calls from as many threads as it was given, which costs no
    synchronisation inside the network and keeps each image's arithmetic the same for any number of threads. Give
    ``threads`` more than 1 where one call at a time has to be quick. Every batch has the same length, the last one filled up
    with black images, so that a row never depends on how many neighbours it had.
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
            raise BundleError(f"{path.name} is not a network this ONNX Runtime can load: {error}") from error
        entry, exit_ = self._session.get_inputs()[0], self._session.get_outputs()[0]
        shape = entry.shape
        if entry.type != "tensor(uint8)" or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
            raise BundleError(f"{path.name} takes {entry.type} {shape}, not uint8 pixels [N, S, S, 3]")
        self._input = entry.name
        self.input_size = int(shape[1])
        self.dimension = int(exit_.shape[1])
        self.batch = batch

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB [N, S, S, 3] -> float32 [N, E]."""
        count = len(pixels)
        out = np.empty((count, self.dimension), np.float32)
        for start in range(0, count, self.batch):
            part = pixels[start : start + self.batch]
            if len(part) < self.batch:
                part = np.concatenate([part, np.zeros((self.batch - len(part), *part.shape[1:]), np.uint8)])
            result = self._session.run(None, {self._input: part})[0]
            out[start : start + self.batch] = result[: count - start]
        return out
