"""``copytrace embed``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..arguments import MAX_BATCH, MAX_THREADS
from ..begun_runtime import begun_runtime
from ..bundle import DEFAULT_BUNDLE
from ..decoded_by import CPU
from ..decoding import DecoderName
from ..describe import BackendName
from ..embedder import Damaged, Output, Role, Views
from ..manifest import Precision
from ..read import DEFAULT_BYTE_LIMIT, DEFAULT_PIXEL_LIMIT, BadImage, StampKind, describe_ignored
from ..run import OnError, Summary
from ..shards import embed_shard
from ..store import Shard
from .console import Interrupted, errors, print_result, progress_bar
from .opening import open_engine
from .options import DeviceOption, IdsOption, RuntimeOption, path

SHOWN_FAILURES = 10


def _shard(text: str | Shard) -> Shard:
    try:
        return Shard.parse(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def embed(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder (recursive), uncompressed tar, Parquet file, text file of paths, image, or - (paths on stdin).",
            parser=path,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="The descriptor file (HDF5) to write; for a shard, the folder.", parser=path
        ),
    ],
    role: Annotated[Role, typer.Option(help="Queries are also moved away from the bank.")] = "reference",
    bundle: Annotated[
        Path, typer.Option(help="Folder with networks, projection and bank.", parser=path)
    ] = DEFAULT_BUNDLE,
    precision: Annotated[Precision, typer.Option(help="Which of the bundle's networks.")] = "int8",
    device: DeviceOption = "auto",
    runtime: RuntimeOption = "auto",
    descriptors: Annotated[Output | None, typer.Option(help="What to write; default: what the role gets.")] = None,
    ids: IdsOption = "stem",
    on_error: Annotated[
        OnError, typer.Option(help="Bad images: list them in the file, or stop at the first.")
    ] = "skip",
    damaged: Annotated[
        Damaged,
        typer.Option(help="Damaged images that can still be decoded: embed them, or leave them out. Listed anyway."),
    ] = "keep",
    views: Annotated[
        Views,
        typer.Option(help="Rows of an image: of the whole, and of its quarter turns, of regions found in it, or all."),
    ] = "whole",
    shard: Annotated[
        Shard | None,
        typer.Option(
            help="Embed part i (from 0) of n of the source into a folder; always resumes. `merge` joins all.",
            parser=_shard,
            metavar="I/N",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run ended.")] = False,
    fingerprint: Annotated[
        StampKind, typer.Option(help="What shows --resume that images have changed: size and time, or their bytes.")
    ] = "stat",
    threads: Annotated[int | None, typer.Option(min=1, max=MAX_THREADS, help="Default: all processors.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=MAX_BATCH, help="Images per network call; changes no result.")
    ] = None,
    backend: Annotated[
        BackendName,
        typer.Option(help="Who projects and normalises; auto: the card that networks are on, else the core."),
    ] = "auto",
    decoder: Annotated[
        DecoderName, typer.Option(help="Who decodes plain JPEGs; auto: DALI for networks on a card, else the CPU.")
    ] = "auto",
    pixel_limit: Annotated[int, typer.Option(min=1, help="Images with more pixels are refused.")] = DEFAULT_PIXEL_LIMIT,
    byte_limit: Annotated[int, typer.Option(min=1, help="Images of more bytes are not read.")] = DEFAULT_BYTE_LIMIT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Turn images into descriptors, written to an HDF5 file, or one of several that `merge` makes one."""
    if views != "whole" and decoder not in ("auto", "cpu"):
        raise typer.BadParameter(f"the decoder {decoder} makes whole pictures only; leave out --decoder or --views")
    if runtime == "auto" and (resume or shard is not None):
        runtime = begun_runtime(output, shard)
    engine = open_engine(
        bundle,
        precision=precision,
        device=device,
        runtime=runtime,
        threads=threads,
        batch=batch_size,
        backend=backend,
        pixel_limit=pixel_limit,
        decoder=decoder,
    )
    try:
        with progress_bar("embedding") as progress:
            options: dict[str, Any] = {
                "role": role,
                "output": descriptors,
                "ids": ids,
                "on_error": on_error,
                "byte_limit": byte_limit,
                "fingerprint": fingerprint,
                "damaged": damaged,
                "views": views,
                "progress": progress,
            }
            if shard is None:
                summary = engine.embed_source(source, output, resume=resume, **options)
            else:
                part = embed_shard(engine, source, output, shard.i, shard.n, **options)
                summary, output = part.summary, part.path
    except Interrupted:
        again = "run the same command with --resume to go on" if shard is None else "the same command goes on"
        raise Interrupted(f"interrupted; what is done is kept, {again}") from None
    by = engine.embedder.decoder if views == "whole" else CPU
    result = {**_as_dict(summary, output), "runtime": engine.runtime, "decoder": by}
    if shard is not None:
        result |= {"shard": str(shard), "status": str(part.status), "skipped": part.skipped}
    elif not summary.embedded:
        result["error"] = f"none of the {summary.images} images could be used"
    decoded = "" if by == CPU else f"JPEGs decoded by {by}\n"
    print_result(result, f"computed by {engine.runtime}\n{decoded}{_as_text(summary, output)}", as_json)
    if "error" in result:
        errors.print(f"error: {result['error']}")
        raise typer.Exit(1)


def _as_dict(summary: Summary, path: Path) -> dict[str, object]:
    return {
        "output": str(path),
        "images": summary.images,
        "embedded": summary.embedded,
        "rows": summary.rows,
        "failed": [asdict(bad) for bad in summary.failed],
        "damaged": [asdict(bad) for bad in summary.damaged],
        "ignored": summary.ignored,
        "seconds": round(summary.seconds, 3),
        "images_per_second": round(summary.rate, 1),
        "resumed_at": summary.resumed_at,
        "stage_seconds": {stage: round(seconds, 3) for stage, seconds in summary.stage_seconds.items()},
    }


def _as_text(summary: Summary, path: Path) -> str:
    failed = {bad.id for bad in summary.failed}
    kept = [BadImage(bad.id, f"damaged: {bad.reason}") for bad in summary.damaged if bad.id not in failed]
    lines = [*first_few(summary.failed), *first_few(kept)]
    if summary.resumed_at:
        lines.append(f"resumed after {summary.resumed_at} images")
    if summary.ignored:
        lines.append(describe_ignored(summary.ignored))
    stages = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in summary.stage_seconds.items())
    if stages:
        lines.append(f"thread time: {stages}")
    rows = f" as {summary.rows} rows" if summary.rows != summary.embedded else ""
    lines.append(
        f"{summary.embedded} of {summary.images} images embedded{rows}, {len(summary.failed)} failed, "
        f"{len(summary.damaged)} damaged{' and left out' if summary.damaged and not kept else ''}, "
        f"in {summary.seconds:.1f} s ({summary.rate:.0f}/s): {path}"
    )
    return "\n".join(lines)


def first_few(images: list[BadImage], place: str = "in the file") -> list[str]:
    """A line for each of the first images, and how many more there are; place: where to find them all."""
    lines = [f"{bad.id}: {bad.reason}" for bad in images[:SHOWN_FAILURES]]
    if len(images) > SHOWN_FAILURES:
        lines.append(f"... and {len(images) - SHOWN_FAILURES} more, all listed {place}")
    return lines
