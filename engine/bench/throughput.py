"""Many images: how many a second from a source to a descriptor file, through each stage alone, and what the most would be."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from ..api import Engine
from ..device import on_host
from ..embedder import Role
from ..errors import SourceError
from ..pipeline import chunks_of
from ..read import BadImage, Image, Source
from ..read.batches import Squares

MILLION = 1_000_000
_PICTURES = 64
"""Decoded pictures that the networks alone are given, again and again: few enough to bound memory."""


@dataclass(frozen=True)
class Throughput:
    """Images per second by stage, one value a round; "whole" is all of them together, from the source to a descriptor file.

    apart: whether networks compute beside the processors that decode (on a card), so that neither takes time from the other.
    processor_seconds: of the whole, an image, one value a round: the time of all processors together.
    """

    rates: dict[str, list[float]]
    images: int
    apart: bool
    failed: list[BadImage]
    processor_seconds: list[float] = field(default_factory=list)

    def rate(self, stage: str) -> float:
        """The median over the rounds."""
        return statistics.median(self.rates[stage])

    @property
    def ceilings(self) -> list[float]:
        """What decoding and networks alone allow, by round: the slower of both, or one after the other on shared processors."""
        parts = zip(self.rates["decode"], self.rates["model"], strict=True)
        return [min(d, m) if self.apart else 1 / (1 / d + 1 / m) for d, m in parts]

    @property
    def whole_of_ceiling(self) -> list[float]:
        """Whole / ceiling, by round."""
        return [whole / most for whole, most in zip(self.rates["whole"], self.ceilings, strict=True)]

    @property
    def slowest(self) -> str:
        """The stage that takes longest when alone."""
        return min((stage for stage in self.rates if stage != "whole"), key=self.rate)

    @property
    def million_seconds(self) -> float:
        """What 1,000,000 such images would take."""
        return MILLION / self.rate("whole")


def measure_throughput(
    engine: Engine, source: Source, *, count: int, rounds: int = 5, role: Role = "reference"
) -> Throughput:
    """Every stage over ``count`` images of the source, in turn, ``rounds`` times after a first one that does not count.

    Raises: SourceError where no image can be used.
    """
    images = source.cycled(count)
    rates: dict[str, list[float]] = {}
    processor_seconds = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="copytrace-bench-")))
        stages = _Stages(engine, images, role, folder, stack)
        for number in range(rounds + 1):
            found = stages.measure()
            if number:
                for stage, rate in found.items():
                    rates.setdefault(stage, []).append(rate)
                processor_seconds.append(stages.processor_seconds)
    apart = any(network.lanes for network in engine.embedder.networks)
    return Throughput(rates, count, apart, stages.failed, processor_seconds)


class _Stages:
    """Everything that is timed, ready to be done several times. Raises: SourceError where no image can be used."""

    def __init__(self, engine: Engine, images: Source, role: Role, folder: Path, stack: ExitStack) -> None:
        self._engine, self._images, self._role, self._path = engine, images, role, folder / "rows.h5"
        embedder = engine.embedder
        self._decoders = stack.enter_context(ThreadPoolExecutor(embedder.decoders))
        self._workers = stack.enter_context(ThreadPoolExecutor(embedder.workers))
        self._pictures = self._decoded()
        self._raw = np.tile(on_host(embedder.embed(self._pictures[:1])), (len(images), 1))
        self.failed: list[BadImage] = []
        self.processor_seconds = 0.0
        """Of the whole, an image, the last time."""

    def measure(self) -> dict[str, float]:
        """Images per second of every stage, once."""
        start, used = time.perf_counter(), time.process_time()
        summary = self._engine.embed_source(self._images, self._path, role=self._role)
        count = len(self._images)
        rates = {"whole": count / (time.perf_counter() - start)}
        self.processor_seconds = (time.process_time() - used) / count
        self.failed = summary.failed
        self._path.unlink()
        for stage, task in (("read", self._read), ("decode", self._decode), ("model", self._embed)):
            rates[stage] = count / _seconds(task)
        rates["describe"] = count / _seconds(self._describe)
        written = summary.stage_seconds["write journal"] + summary.stage_seconds["write HDF5"]
        rates["write"] = count / written
        return rates

    def _read(self) -> None:
        _all(self._decoders.map(_read_each, self._chunks()))

    def _decode(self) -> None:
        _all(self._decoders.map(self._engine.embedder.decode, self._chunks()))

    def _embed(self) -> None:
        pictures = islice(cycle(self._pictures), len(self._images))
        embedder = self._engine.embedder  # rows that lie on a card are waited for
        _all(self._workers.map(lambda part: on_host(embedder.embed(part)), chunks_of(pictures, embedder.batch)))

    def _describe(self) -> None:
        embedder = self._engine.embedder
        output, size = embedder.output_for(self._role), embedder.batch
        parts = (self._raw[start : start + size] for start in range(0, len(self._raw), size))
        _all(self._workers.map(lambda raw: embedder.describe(raw, output), parts))

    def _chunks(self) -> Iterable[list[Image]]:
        return chunks_of(self._images, self._engine.embedder.batch)

    def _decoded(self) -> list[Squares]:
        """The first pictures that can be decoded. Raises: SourceError where none can."""
        pictures: list[Squares] = []
        first = None
        for chunk in self._chunks():
            for decoded in self._engine.embedder.decode(chunk):
                first = first or decoded
                pictures += decoded.all_pixels
            if len(pictures) >= _PICTURES:
                break
        if not pictures:
            why = "" if first is None else f"; {first.id}: {first.reason}"
            raise SourceError(f"none of the {len(self._images)} images could be used{why}")
        return pictures


def _read_each(chunk: Iterable[Image]) -> None:
    for image in chunk:
        with suppress(OSError):  # such an image is a failed one of the whole run
            image.read()


def _seconds(task: Callable[[], None]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def _all(results: Iterable[object]) -> None:
    for _ in results:
        pass
