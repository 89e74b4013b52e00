"""``copytrace embed``."""

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
from ..read import DEFAULT_BYTE_LIMIT, DEFAULT_PIXEL_LIMIT, StampKind
from ..run import OnError
from ..shards import embed_shard
from ..store import Shard
from .console import Interrupted, progress_bar
from .embed_by_actors import GOES_ON, embed_by_actors
from .opening import EngineOptions, open_engine
from .options import ActorsOption, DeviceOption, IdsOption, RayOption, RuntimeOption, path
from .summary import print_summary, summary_as_dict, summary_as_text


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
            "-o", "--output", help="The descriptor file (HDF5) to write; for a single shard, the folder.", parser=path
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
    ray: RayOption = None,
    shards: Annotated[
        int | None,
        typer.Option(min=1, help="With --ray: units of work, some for each actor; they stay in OUTPUT.parts/."),
    ] = None,
    actors: ActorsOption = None,
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
    if ray is None and (shards, actors) != (None, None):
        raise typer.BadParameter("--shards and --actors are of --ray; a single shard is --shard I/N")
    if ray is not None and (shards is None or shard is not None):
        raise typer.BadParameter("--ray needs --shards N, some for each actor, and no --shard")
    made: EngineOptions = {
        "precision": precision,
        "device": device,
        "runtime": runtime,
        "batch": batch_size,
        "backend": backend,
        "pixel_limit": pixel_limit,
        "decoder": decoder,
    }
    options: dict[str, Any] = {
        "role": role,
        "output": descriptors,
        "ids": ids,
        "on_error": on_error,
        "byte_limit": byte_limit,
        "fingerprint": fingerprint,
        "damaged": damaged,
        "views": views,
    }
    if ray is not None and shards is not None:
        given = {**made} if bundle == DEFAULT_BUNDLE else {**made, "bundle": bundle.absolute()}
        embed_by_actors(source, output, shards, ray, actors, threads, given, options, as_json)
        return
    if runtime == "auto" and (resume or shard is not None):
        made["runtime"] = begun_runtime(output, shard)
    made["threads"] = threads
    engine = open_engine(bundle, **made)
    try:
        with progress_bar("embedding") as progress:
            options["progress"] = progress
            if shard is None:
                summary = engine.embed_source(source, output, resume=resume, **options)
            else:
                part = embed_shard(engine, source, output, shard.i, shard.n, **options)
                summary, output = part.summary, part.path
    except Interrupted:
        again = "run the same command with --resume to go on" if shard is None else GOES_ON
        raise Interrupted(f"interrupted; what is done is kept, {again}") from None
    by = engine.embedder.decoder if views == "whole" else CPU
    result = {**summary_as_dict(summary, output), "runtime": engine.runtime, "decoder": by}
    if shard is not None:
        result |= {"shard": str(shard), "status": str(part.status), "skipped": part.skipped}
    elif not summary.embedded:
        result["error"] = f"none of the {summary.images} images could be used"
    decoded = "" if by == CPU else f"JPEGs decoded by {by}\n"
    print_summary(result, f"computed by {engine.runtime}\n{decoded}{summary_as_text(summary, output)}", as_json)
