"""The bundle's networks alone, in every runtime: lists of pictures at each network's size to raw embeddings.

All compute the same function of the same pixels; each is told the number of threads, and otherwise left as it comes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from copytrace.engine import Bundle, Engine

Batch = list[np.ndarray]
"""uint8 [N, S, S, 3] for each network."""
Model = Callable[[Batch], np.ndarray]
"""-> float32 [N, E], the networks' embeddings side by side."""


def torch_eager(threads: int) -> Model:
    import torch

    networks = _torch_networks(threads)

    def run(batch: Batch) -> np.ndarray:
        with torch.inference_mode():
            parts = [network(torch.from_numpy(pixels)) for network, pixels in zip(networks, batch, strict=True)]
            return torch.cat(parts, 1).numpy()

    return run


def torch_compiled(threads: int) -> Model:
    """Default mode; compiled anew for each number of pictures, which the first call of it pays for."""
    import torch

    networks = [torch.compile(network) for network in _torch_networks(threads)]

    def run(batch: Batch) -> np.ndarray:
        with torch.no_grad():
            parts = [network(torch.from_numpy(pixels)) for network, pixels in zip(networks, batch, strict=True)]
            return torch.cat(parts, 1).numpy()

    return run


def _torch_networks(threads: int) -> list[Any]:
    import torch

    from .torch_network import TorchNetwork

    torch.set_num_threads(threads)
    return [TorchNetwork(file.path).eval() for file in Bundle().networks("float32")]


def onnxruntime_alone(precision: str) -> Callable[[int], Model]:
    """A session for each network, all threads inside it."""

    def make(threads: int) -> Model:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        sessions = [ort.InferenceSession(file.path, options) for file in Bundle().networks(precision)]

        def run(batch: Batch) -> np.ndarray:
            parts = [
                session.run(None, {session.get_inputs()[0].name: pixels})[0]
                for session, pixels in zip(sessions, batch, strict=True)
            ]
            return np.concatenate(parts, 1)

        return run

    return make


def openvino(precision: str) -> Callable[[int], Model]:
    """Compiled for the processor with the hint for throughput; float32 computes in bfloat16 where the processor has it."""

    def make(threads: int) -> Model:
        from openvino import Core

        core = Core()
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "THROUGHPUT"}
        compiled = [core.compile_model(str(f.path), "CPU", settings) for f in Bundle().networks(precision)]

        def run(batch: Batch) -> np.ndarray:
            return np.concatenate([model(pixels)[0] for model, pixels in zip(compiled, batch, strict=True)], 1)

        return run

    return make


def ours(precision: str) -> Callable[[int], Model]:
    """As the pipeline calls them: a thread for each part of the batch."""

    def make(threads: int) -> Model:
        from concurrent.futures import ThreadPoolExecutor

        embedder = Engine(precision=precision, threads=threads).embedder
        order = np.argsort([network.input_size for network in embedder.networks])  # a picture's sizes come sorted
        pool = ThreadPoolExecutor(threads)

        def run(batch: Batch) -> np.ndarray:
            pictures = list(zip(*(batch[place] for place in order), strict=True))
            each = embedder.batch
            parts = [pictures[start : start + each] for start in range(0, len(pictures), each)]
            return np.concatenate(list(pool.map(embedder.embed, parts)))

        return run

    return make


MODELS: dict[str, Callable[[int], Model]] = {
    "copytrace int8": ours("int8"),
    "copytrace float32": ours("float32"),
    "torch eager": torch_eager,
    "torch.compile": torch_compiled,
    "ONNX Runtime float32": onnxruntime_alone("float32"),
    "ONNX Runtime int8": onnxruntime_alone("int8"),
    "OpenVINO float32": openvino("float32"),
    "OpenVINO int8": openvino("int8"),
}
