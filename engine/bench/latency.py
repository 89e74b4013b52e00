"""One image at a time: how long from its bytes to its descriptor, and how much of that is decoding and networks."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..api import Engine
from ..device import on_host
from ..embedder import Decoded, Role
from ..errors import SourceError
from ..read import BadImage, Image

STAGES = ("bytes_to_descriptor", "decode", "model", "describe")
"""The whole, as a caller of ``Engine.embed`` meets it, and its parts, each called alone."""
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Latency:
    """Milliseconds of every call by stage, equally many each; and the images that could not be used."""

    milliseconds: dict[str, list[float]]
    images: int
    skipped: list[BadImage]

    def percentiles(self, stage: str) -> dict[str, float]:
        """``{"p50_ms": ..., "p95_ms": ..., "p99_ms": ...}`` of a stage."""
        found = np.percentile(self.milliseconds[stage], PERCENTILES)
        return {f"p{percentile}_ms": float(value) for percentile, value in zip(PERCENTILES, found, strict=True)}

    @property
    def over_parts(self) -> float:
        """Median from bytes to descriptor / (median of decoding + median of the networks)."""
        whole, decode, model = (self.percentiles(stage)["p50_ms"] for stage in STAGES[:3])
        return whole / (decode + model)


def measure_latency(engine: Engine, images: Iterable[Image], *, rounds: int = 5, role: Role = "reference") -> Latency:
    """Embed each image alone, ``rounds`` times, every time followed by its parts; all are in memory before the clock runs.

    The first time, which is not counted, shows which images can be used. Raises: SourceError where none can.
    """
    calls: list[dict[str, Callable[[], object]]] = []
    skipped: list[BadImage] = []
    for image in images:
        usable, reason = _calls(engine, image, role)
        if usable is None:
            skipped.append(BadImage(image.id, reason))
        else:
            calls.append(usable)
    if not calls:
        raise SourceError(f"none of the {len(skipped)} images could be used; {skipped[0].id}: {skipped[0].reason}")
    return Latency(_timed(calls, rounds), len(calls), skipped)


def _timed(calls: Sequence[dict[str, Callable[[], object]]], rounds: int) -> dict[str, list[float]]:
    milliseconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for _ in range(rounds):
        for one in calls:
            for stage, call in one.items():
                start = time.perf_counter()
                call()
                milliseconds[stage].append(1000 * (time.perf_counter() - start))
    return milliseconds


def _calls(engine: Engine, image: Image, role: Role) -> tuple[dict[str, Callable[[], object]] | None, str]:
    """What is timed of one image, each done once by now; None and the reason where it has no descriptor."""
    embedder = engine.embedder
    output = embedder.output_for(role)
    try:
        data = image.read()
    except OSError as error:
        return None, error.strerror or str(error)
    held = Image(image.id, lambda: data)
    (embedded,) = engine.embed_each([data], role=role)
    if embedded.row is None:
        return None, embedded.reason or ""
    decoded: Decoded = embedder.decode([held])[0]
    raw = on_host(embedder.embed(decoded.all_pixels))
    embedder.describe(raw, output)
    return {
        "bytes_to_descriptor": lambda: engine.embed_each([data], role=role),
        "decode": lambda: embedder.decode([held]),
        "model": lambda: on_host(embedder.embed(decoded.all_pixels)),  # rows that lie on a card are waited for
        "describe": lambda: embedder.describe(raw, output),
    }, ""
