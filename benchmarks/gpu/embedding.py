"""Images to descriptors: the whole way against decoding and networks alone, networks against their own kernels, and torch's."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alternatives.torch_network import TorchNetwork
from copytrace.engine import Engine
from copytrace.engine.bench import measure_throughput
from copytrace.engine.bundle import Bundle
from copytrace.engine.device import DeviceArray
from copytrace.engine.infer import BatchedNetwork
from copytrace.engine.infer.buffers import HostBuffers
from copytrace.engine.infer.ort_lane import OrtLane
from copytrace.engine.read import open_source

from .figure import Figure


def parity(card: Engine, images: list[Path]) -> list[Figure]:
    """The gate: descriptors of the card beside the CPU's in float32."""
    plain, precision = Engine(precision="float32", device="cpu"), card.embedder.precision
    figures = []
    for role in ("reference", "query"):
        a, b = (engine.embed(images, role=role).astype(np.float64) for engine in (card, plain))
        cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        wanted = None if precision == "int8" else 0.9999  # int8 is judged by micro-AP
        figures.append(
            Figure(f"{precision}: least cosine to the CPU's float32, {role}", [float(cosines.min())], wanted)
        )
    return figures


def whole(engine: Engine, images: Path, count: int, rounds: int) -> list[Figure]:
    """From files to a descriptor file."""
    found = measure_throughput(engine, open_source(images), count=count, rounds=rounds, apart=True)
    name = engine.embedder.precision
    stages = [Figure(f"{name}: {stage}, images/s", values) for stage, values in found.rates.items()]
    million = [1e6 / rate for rate in found.rates["whole"]]
    return [
        *stages,
        Figure(f"{name}: end to end / min(model alone, decode alone)", found.whole_of_ceiling, 0.85),
        Figure(f"{name}: 1,000,000 references, projected, seconds", million, 125.0, at_most=True),
    ]


def batched(engine: Engine, on_card: bool) -> list[BatchedNetwork]:
    """The engine's networks; on the CPU, where it has others, the same networks by the code of the card."""
    if on_card:
        return [network for network in engine.embedder.networks if isinstance(network, BatchedNetwork)]
    files = engine.bundle.networks(engine.embedder.precision)
    return [
        BatchedNetwork(
            file.path,
            [OrtLane(file.path, HostBuffers(8, file.input_size, file.dimension), [8])],
            [8],
            file.input_size,
            file.dimension,
            "ONNX Runtime on the CPU",
        )
        for file in files
    ]


def from_memory(networks: list[BatchedNetwork], batches: int, rounds: int, on_card: bool) -> list[Figure]:
    """Pixels that are on the card to rows that stay there, against one lane that does nothing but compute."""
    figures = []
    for network in networks:
        shape = (batches * network.batch, network.input_size, network.input_size, 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        there = DeviceArray.from_host(pixels) if on_card else pixels
        call: Callable[[Any], object] = network.rows_on_card if on_card else network
        ours, alone = [], []
        for turn in range(rounds + 1):
            start = time.perf_counter()
            call(there)
            middle = time.perf_counter()
            _compute_only(network, batches)
            if turn:
                ours.append(middle - start)
                alone.append(time.perf_counter() - middle)
        name = f"{network.path.name}, {network.runtime}"
        figures.append(Figure(f"{name}: model alone, images/s", [len(pixels) / seconds for seconds in alone]))
        ratios = [a / b for a, b in zip(alone, ours, strict=True)]
        figures.append(Figure(f"{name}: from device memory / model alone", ratios, 0.97))
    return figures


def _compute_only(network: BatchedNetwork, batches: int) -> None:
    lane = network._free.get()
    try:
        for _ in range(batches):
            lane.run(network.batch)
        lane.buffers.wait()
    finally:
        network._free.put(lane)


def against_torch(networks: list[BatchedNetwork], rounds: int, on_card: bool) -> list[Figure]:
    """All networks of the bundle on the same pixels: ours from memory, torch eager with AMP, and torch.compile with AMP."""
    import torch

    device = torch.device("cuda" if on_card else "cpu")
    if on_card and not torch.cuda.is_available():
        raise ImportError("this torch has no CUDA")
    half = torch.float16 if on_card else torch.bfloat16
    batch = networks[0].batch
    sizes = [network.input_size for network in networks]
    host = [np.random.default_rng(size).integers(0, 256, (batch, size, size, 3), np.uint8) for size in sizes]
    theirs = [torch.from_numpy(pixels).to(device) for pixels in host]
    mine = [DeviceArray.from_host(pixels) if on_card else pixels for pixels in host]
    eager = [_on(TorchNetwork(file.path), device) for file in Bundle().networks("float32")]
    compiled = [torch.compile(network) for network in eager]

    def by_torch(modules: list[Any]) -> Callable[[], list[np.ndarray]]:
        def run() -> list[np.ndarray]:
            with torch.no_grad(), torch.autocast(device.type, half):
                rows = [module(pixels) for module, pixels in zip(modules, theirs, strict=True)]
            if on_card:
                torch.cuda.synchronize()
                return []
            return [part.float().numpy() for part in rows]

        return run

    def ours() -> object:
        return [
            network.rows_on_card(pixels) if on_card else network(pixels)  # type: ignore[arg-type]
            for network, pixels in zip(networks, mine, strict=True)
        ]

    runs: dict[str, Callable[[], object]] = {"ours": ours, "eager": by_torch(eager), "compile": by_torch(compiled)}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 3):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn >= 3:  # torch.compile takes a few calls to settle
                seconds[name].append(time.perf_counter() - start)
    wanted = {"compile": 1.2, "eager": 2.0}
    return [
        Figure(
            f"ours / torch {name} AMP, {batch} images",
            [t / o for t, o in zip(seconds[name], seconds["ours"], strict=True)],
            w,
        )
        for name, w in wanted.items()
    ]


def _on(network: Any, device: Any) -> Any:
    """Its weights on a device; the shapes among its constants stay where shapes are computed."""
    for name, value in network.named_buffers():
        if value.is_floating_point():
            setattr(network, name, value.to(device))
    return network.eval()
