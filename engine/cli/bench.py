"""``copytrace bench``."""

from dataclasses import asdict
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from ..api import Engine
from ..arguments import MAX_BATCH, MAX_THREADS
from ..bench import (
    ColdStart,
    Latency,
    Throughput,
    latency_png,
    machine_record,
    machine_text,
    measure_cold,
    measure_latency,
    measure_throughput,
    medians,
)
from ..bundle import DEFAULT_BUNDLE
from ..decoding import DecoderName
from ..embedder import Role
from ..manifest import Precision
from ..outputs import PNG, check_output
from ..read import open_source
from ..store.atomic import replacing
from .console import print_result
from .demo import PHOTOS
from .opening import EngineOptions, open_engine
from .options import DeviceOption, RuntimeOption, path
from .summary import first_few

app = typer.Typer(help="Measure how fast this installation is on this machine. Nothing else should run meanwhile.")

Images = Annotated[
    Path, typer.Option(help="What embed takes. Default: photographs of the package, which are small.", parser=path)
]
Bundle = Annotated[Path, typer.Option(help="Folder with networks, projection and bank.", parser=path)]
Roles = Annotated[Role, typer.Option(help="Queries are also moved away from the bank.")]
Precisions = Annotated[Precision, typer.Option(help="Which of the bundle's networks.")]
Decoders = Annotated[DecoderName, typer.Option(help="Who decodes plain JPEGs; auto: DALI for networks on a card.")]
Threads = Annotated[int | None, typer.Option(min=1, max=MAX_THREADS, help="Default: all processors.")]
Rounds = Annotated[int, typer.Option(min=1, max=1000, help="How many times, after a first time that does not count.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")]


@app.command()
def latency(
    images: Images = PHOTOS / "references",
    count: Annotated[int, typer.Option(min=1, help="How many images at most; they are kept in memory.")] = 100,
    rounds: Rounds = 5,
    cold: Annotated[int, typer.Option(min=0, max=100, help="Fresh processes that are started for one image each.")] = 3,
    picture: Annotated[Path | None, typer.Option(help="Write a histogram as PNG.", parser=path)] = None,
    role: Roles = "reference",
    bundle: Bundle = DEFAULT_BUNDLE,
    precision: Precisions = "int8",
    device: DeviceOption = "auto",
    runtime: RuntimeOption = "auto",
    decoder: Decoders = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """One image at a time: bytes to descriptor, and decoding and networks alone."""
    source = open_source(images)
    if picture is not None:
        check_output(picture, PNG, source.files())
    machine = machine_record()
    how = EngineOptions(precision=precision, device=device, runtime=runtime, decoder=decoder, threads=threads)
    engine = open_engine(bundle, **how)
    used = list(islice(source, count))
    found = measure_latency(engine, used, rounds=rounds, role=role)
    bad = {one.id for one in found.skipped}
    first = next(image for image in used if image.id not in bad).read()
    fresh = {"bundle": str(bundle), **how}
    starts = [measure_cold(first, fresh, role) for _ in range(cold)]
    if picture is not None:
        with replacing(picture) as temporary:
            temporary.write_bytes(latency_png(found))
    result = {
        **_latency_dict(found, starts),
        **_settings(images, bundle, how, engine, role),
        **({} if picture is None else {"picture": str(picture)}),
        "machine": machine,
    }
    print_result(result, _latency_text(found, starts, engine.runtime, machine), as_json)


@app.command()
def throughput(
    images: Images = PHOTOS / "references",
    count: Annotated[int, typer.Option(min=1, help="Images a round; fewer of them are used again and again.")] = 2000,
    rounds: Rounds = 5,
    role: Roles = "reference",
    bundle: Bundle = DEFAULT_BUNDLE,
    precision: Precisions = "int8",
    device: DeviceOption = "auto",
    runtime: RuntimeOption = "auto",
    decoder: Decoders = "auto",
    threads: Threads = None,
    batch_size: Annotated[int | None, typer.Option(min=1, max=MAX_BATCH, help="Images per network call.")] = None,
    as_json: AsJson = False,
) -> None:
    """Images per second from files to a descriptor file, of every stage alone, and what a million images would take."""
    source = open_source(images)
    machine = machine_record()
    how = EngineOptions(precision=precision, device=device, runtime=runtime, decoder=decoder, threads=threads)
    how["batch"] = batch_size
    engine = open_engine(bundle, **how)
    found = measure_throughput(engine, source, count=count, rounds=rounds, role=role)
    result = {
        **_throughput_dict(found),
        **_settings(images, bundle, how, engine, role),
        "batch": engine.embedder.batch,
        "machine": machine,
    }
    print_result(result, _throughput_text(found, engine.runtime, machine), as_json)


def _settings(images: Path, bundle: Path, how: EngineOptions, engine: Engine, role: Role) -> dict[str, object]:
    return {
        "source": str(images),
        "bundle": str(bundle),
        "recipe": engine.bundle.recipe,
        **how,
        "computed_by": engine.runtime,
        "threads": engine.embedder.workers,
        "role": role,
    }


def _latency_dict(found: Latency, starts: list[ColdStart]) -> dict[str, object]:
    return {
        **{stage: _rounded(found.percentiles(stage)) for stage in found.milliseconds},
        "over_decode_and_model": round(found.over_parts, 4),
        "cold": _rounded(medians(starts)) if starts else None,
        "images": found.images,
        "calls": len(found.milliseconds["decode"]),
        "skipped": [asdict(one) for one in found.skipped],
    }


def _latency_text(found: Latency, starts: list[ColdStart], runtime: str, machine: dict[str, object]) -> str:
    lines = [*first_few(found.skipped, "by --json"), f"{'milliseconds':<22}{'p50':>9}{'p95':>9}{'p99':>9}"]
    for stage in found.milliseconds:
        values = "".join(f"{value:9.3f}" for value in found.percentiles(stage).values())
        lines.append(f"{stage.replace('_', ' '):<22}{values}")
    lines.append(f"bytes to descriptor / (decode + model), medians: {found.over_parts:.3f}")
    if starts:
        parts = medians(starts)
        lines.append(
            f"fresh process: {parts['total_ms']:.0f} ms until its first descriptor: importing {parts['import_ms']:.0f}, "
            f"loading {parts['load_ms']:.0f}, the image {parts['first_image_ms']:.0f} (median of {len(starts)})"
        )
    lines.append(
        f"{found.images} images, {len(found.milliseconds['decode'])} calls each; computed by {runtime}; {machine_text(machine)}"
    )
    return "\n".join(lines)


def _throughput_dict(found: Throughput) -> dict[str, object]:
    return {
        "images_per_second": {stage: _spread(rates) for stage, rates in found.rates.items()},
        "ceiling": {**_spread(found.ceilings), "decode_and_model": "apart" if found.apart else "shared processors"},
        "whole_of_ceiling": _spread(found.whole_of_ceiling),
        "slowest": found.slowest,
        "million_seconds": round(found.million_seconds, 1),
        "processor_ms": _spread([1000 * seconds for seconds in found.processor_seconds]),
        "images": found.images,
        "failed": [asdict(one) for one in found.failed],
    }


def _throughput_text(found: Throughput, runtime: str, machine: dict[str, object]) -> str:
    lines = [*first_few(found.failed, "by --json"), f"{'images per second':<22}{'median':>10}{'least':>10}{'most':>10}"]
    for stage, rates in (*found.rates.items(), ("ceiling", found.ceilings)):
        spread = _spread(rates)
        lines.append(f"{stage:<22}" + "".join(f"{spread[name]:10.0f}" for name in ("median", "least", "most")))
    share = _spread(found.whole_of_ceiling)
    lines.append(
        f"whole / ceiling {share['median']:.3f} ({share['least']:.3f} to {share['most']:.3f}); slowest stage: {found.slowest}; "
        f"1,000,000 images: {found.million_seconds / 60:.1f} minutes"
    )
    used = f"{1000 * median(found.processor_seconds):.2f} ms of processors each"
    lines.append(f"{found.images} images a round, {used}; computed by {runtime}; {machine_text(machine)}")
    return "\n".join(lines)


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return _rounded({"median": middle, "least": ordered[0], "most": ordered[-1]})


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
