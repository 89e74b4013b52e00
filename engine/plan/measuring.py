"""Measures the rates of this machine: embedding as ``copytrace bench throughput`` does, the second look, and the search."""

import statistics
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..api import Engine
from ..bench import Throughput, machine_record, measure_cold, measure_throughput
from ..collection import Collection
from ..embedder import Role
from ..errors import SourceError
from ..infer import Device
from ..matching import Matcher
from ..pictures import Looks, Picture, picture_stream
from ..read import Source
from ..references import References
from .clock import Clock
from .measured_search import ROWS, measure_search
from .rates import Rates, Seconds, Sizes

ROLES: tuple[Role, Role] = ("reference", "query")
LOOKED_AT = 128
"""Queries that are looked at twice: two groups of those that ``match`` searches with at a time."""
WARM_UP = 4
BUSY = 1.25
"""Time on the wall / what idle processors would take; above it something else ran, or disks were slow."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: images embedded a round, rounds, processes started, references searched. This takes about a minute
    on two processors."""

    images: int = 512
    rounds: int = 2
    starts: int = 3
    rows: int = ROWS


def measure_rates(
    engine: Engine,
    source: Source,
    options: Mapping[str, object],
    *,
    effort: Effort | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Rates:
    """Measure with the images of a source, the first of them, or all again and again.

    options: what the engine was made with, for fresh processes. say: is told what is measured now.
    Raises: SourceError where no image can be used; PlanError where too much else ran.
    """
    effort = effort or Effort()
    machine = machine_record()
    say("embedding")
    embedding = [_throughput(engine, source, role, effort) for role in ROLES]
    device: Device = "cuda" if embedding[0].apart else "cpu"
    sample = source.cycled(min(effort.images, len(source)))
    threads = engine.embedder.workers
    busy = "" if device == "cuda" else shown_busy(embedding[0], threads)
    clock = Clock(threads, by_processor=bool(busy))
    say("starting a process")
    first = _first(engine, sample)
    start = clock.median(effort.starts, lambda: measure_cold(first, options, "reference"), threads=1)
    with tempfile.TemporaryDirectory(prefix="copytrace-plan-") as folder:
        say("the second look")
        second_look = _second_look(engine, sample, Path(folder), clock)
        say("searching")
        found = measure_search(engine, Path(folder), device, clock, effort.rounds + 1, effort.rows)
    reference, query = (_seconds(one, clock) for one in embedding)
    seconds = Seconds(
        start=start,
        reference=reference,
        query=query,
        merge_row=found.merge_row,
        scan_row=found.scan_row,
        scan_pair=found.scan_pair,
        found_pair=found.found_pair,
        nearest_pair=found.nearest_pair,
        one_query_row=found.one_query_row,
        collect=second_look.collect,
        verify=second_look.verify,
    )
    sizes = Sizes(
        found.descriptor_row, found.pair_row, second_look.reference_bytes, second_look.features, second_look.views
    )
    return Rates(
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        device=device,
        computed_by=engine.runtime,
        threads=threads,
        dimension=engine.dimension,
        image_source=source.name,
        image_count=len(sample),
        image_bytes=second_look.image_bytes,
        image_pixels=second_look.image_pixels,
        seconds=seconds,
        sizes=sizes,
        busy=busy,
    )


def _throughput(engine: Engine, source: Source, role: Role, effort: Effort) -> Throughput:
    return measure_throughput(engine, source, count=effort.images, rounds=effort.rounds, role=role)


def _seconds(embedding: Throughput, clock: Clock) -> float:
    """Of an image."""
    if clock.by_processor:
        return statistics.median(embedding.processor_seconds) / clock.threads
    return 1 / embedding.rate("whole")


def shown_busy(embedding: Throughput, threads: int) -> str:
    """What shows that the machine did more than this; empty where nothing does."""
    over = threads / embedding.rate("whole") / statistics.median(embedding.processor_seconds)
    return f"embedding took {over:.2f} times its processor time" if over > BUSY else ""


@dataclass(frozen=True, slots=True)
class _SecondLook:
    """Seconds an image, and the means over images of what is kept of them."""

    collect: float
    verify: float
    reference_bytes: float
    features: float
    views: float
    image_bytes: float
    image_pixels: float


def _second_look(engine: Engine, sample: Source, folder: Path, clock: Clock) -> _SecondLook:
    """Images become a collection, and are looked for in it. Raises: SourceError."""
    engine.add_source(sample.cycled(min(WARM_UP, len(sample))), folder / "warm.ct")
    place = folder / "references.ct"
    collect = clock.median(1, lambda: engine.add_source(sample, place)) / len(sample)
    with Collection.open(place) as collection:
        references = References.of_collection(collection)
    size = sum(path.stat().st_size for path in place.iterdir())
    matcher = Matcher(references, engine=engine)
    queries = sample.cycled(min(LOOKED_AT, len(sample)))
    list(matcher.match_source(queries.cycled(min(WARM_UP, len(queries)))))
    verify = clock.median(1, lambda: list(matcher.match_source(queries))) / len(queries)
    looks = picture_stream(engine.embedder, queries, Looks.of_queries(engine.embedder, local=False))
    count = len(references)
    return _SecondLook(
        collect,
        verify,
        size / count,
        max(1, references.rows) / count,
        statistics.fmean(len(one.views) for one in looks if isinstance(one, Picture)),
        statistics.fmean(_sizes(sample)),
        statistics.fmean(float(width * height) for width, height in (references.sizes[i] for i in range(count))),
    )


def _sizes(sample: Source) -> list[int]:
    sizes = []
    for image in sample:
        with suppress(OSError):  # such an image has failed before
            sizes.append(len(image.read()))
    return sizes


def _first(engine: Engine, sample: Source) -> bytes:
    """An image that can be used. Raises: SourceError."""
    for image in sample:
        with suppress(OSError):
            data = image.read()
            if engine.embed_each([data])[0].row is not None:
                return data
    raise SourceError(f"{sample.name}: none of the images could be used")
