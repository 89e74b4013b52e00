"""A network of a bundle made ready on a graphics card, by either runtime or by the faster one."""

import logging
from collections.abc import Callable
from typing import Literal

from ..device import card
from ..errors import DeviceError, DeviceMemoryError, MissingExtraError
from ..manifest import NetworkFile
from ..ort_on_card import ort_for_cards
from .batched import BatchedNetwork, buckets_up_to
from .buffers import CardBuffers
from .fastest import fastest
from .ort_lane import OrtLane, ort_version
from .trt import EngineKey, Engines, Profile, TrtLane, find_library
from .trt.build import Built, build_engine

log = logging.getLogger(__name__)

Runtime = Literal["auto", "onnxruntime", "tensorrt", "native"]
"""TensorRT is for cards, the native core for the CPU, ONNX Runtime for both."""
Building = Callable[[str, float], None]
"""Told what is being built, and how much of it is done, from 0 to 1."""

BATCH = 128
"""Images computed together on a card, where nothing else is said."""
LANES = 3
"""Batches under way at a time: one that is copied in, one that is computed, one that is copied out."""


def open_on_card(file: NetworkFile, runtime: Runtime, batch: int | None, building: Building) -> BatchedNetwork:
    """By the runtime that is named, or the faster one of those that can compute it.

    Where a card's memory does not suffice, a quarter of the images is computed together, and so on.
    Raises: BundleError; DeviceError that says what is in the way of each runtime, or of the card; MissingExtraError.
    """
    card()
    ways = {"tensorrt": _by_tensorrt, "onnxruntime": _by_onnxruntime}
    opened, problems = [], []
    for name, way in ways.items():
        if runtime in ("auto", name):
            try:
                opened.append(_fitting(way, file, batch or BATCH, building))
            except (DeviceError, MissingExtraError) as error:
                log.info("%s: %s", file.path.name, error)
                problems.append(error)
    if not opened:
        cure = made_for_the_cpu(file)
        raise DeviceError("; ".join([*map(str, problems), *([] if cure is None else [cure])]))
    return fastest(opened)


def made_for_the_cpu(file: NetworkFile) -> str | None:
    """Why a network is better computed on the CPU, and what a card takes instead; None for all but int8."""
    if file.precision != "int8":
        return None
    others = " or ".join(precision for precision in file.entry.precisions if precision != "int8")
    return "int8 networks are made for the CPU" + (f", --precision {others} is for cards" if others else "")


def _fitting(
    way: Callable[[NetworkFile, int, Building], BatchedNetwork], file: NetworkFile, most: int, building: Building
) -> BatchedNetwork:
    while True:
        try:
            return way(file, most, building)
        except DeviceMemoryError as error:
            if most == 1:
                raise
            log.warning("%s; with %d images at a time instead of %d", error, max(1, most // 4), most)
            most = max(1, most // 4)


def _by_onnxruntime(file: NetworkFile, most: int, building: Building) -> BatchedNetwork:
    ort_for_cards()
    buckets = buckets_up_to(most)
    lanes = [OrtLane(file.path, _buffers(file, most), buckets) for _ in range(LANES)]
    facts = lanes[0].signature.agreeing(file)
    return BatchedNetwork(
        file.path, lanes, buckets, facts.size, facts.dimension, _where(f"ONNX Runtime {ort_version()}")
    )


def _by_tensorrt(file: NetworkFile, most: int, building: Building) -> BatchedNetwork:
    """Every size of batch has an engine of its own; where that does not give the same rows, the largest one's takes it too."""
    library, capability = find_library(), card().compute_capability
    kept, buckets = Engines(library, file.path.parent), buckets_up_to(most)
    engines = {}
    for bucket in reversed(buckets):
        profile = Profile(1 if bucket == most else bucket, bucket, bucket)
        key = EngineKey.of(file, profile, library, capability)
        text = f"{library} engine of {file.path.name} for {bucket} images"

        def build(timing: bytes, profile: Profile = profile, text: str = text) -> Built:
            building(text, 0.0)
            return build_engine(library, file, profile, timing=timing, progress=lambda done: building(text, done))

        engines[bucket] = kept.ready(key, build).engine
    where = _where(str(library))

    def over(chosen: dict[int, object]) -> BatchedNetwork:
        lanes = [TrtLane(library, file, chosen, _buffers(file, most)) for _ in range(LANES)]
        return BatchedNetwork(file.path, lanes, buckets, file.input_size, file.dimension, where)

    network = over(engines)
    exact = network.buckets
    if exact == buckets:
        return network
    del network  # its memory, for the next
    return over({bucket: engines[bucket if bucket in exact else most] for bucket in buckets})


def _buffers(file: NetworkFile, most: int) -> CardBuffers:
    return CardBuffers(most, file.input_size, file.dimension)


def _where(runtime: str) -> str:
    return f"{runtime} on {card().name}"
