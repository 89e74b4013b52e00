"""``copytrace search``."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import searching
from ..arguments import MAX_THREADS
from ..bundle import Bundle
from ..distributed import ClusterFound, search_on_cluster
from ..infer import Device
from ..outputs import PAIRS, check_output
from .console import print_result, progress_bar
from .options import ActorsOption, RayOption, number, path


def search(
    queries: Annotated[Path, typer.Argument(help="Descriptor file of the queries, or a submission.", parser=path)],
    references: Annotated[
        Path,
        typer.Argument(
            help="Descriptor file of the references, a collection, or a submission; with --ray also a folder of parts.",
            parser=path,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The pairs.csv to write.", parser=path)],
    top: Annotated[int | None, typer.Option(min=1, help="The best pairs over everything (default: 500000).")] = None,
    k: Annotated[int | None, typer.Option(min=1, help="The nearest references of every query.")] = None,
    max_distance: Annotated[
        float | None,
        typer.Option(min=0.0, callback=number, help="All pairs within this Euclidean distance (not squared)."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="The bundle the descriptors were made with: normalise scores by its bank, where it has constants for that.",
            parser=path,
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=MAX_THREADS, help="Default: all processors.")] = None,
    device: Annotated[
        Device,
        typer.Option(help="Who proposes pairs; auto: a graphics card where there is one and the search is large."),
    ] = "auto",
    ray: RayOption = None,
    actors: ActorsOption = None,
    parts: Annotated[
        int | None, typer.Option(min=1, help="With --ray: parts of the references (default: one for each actor).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Find pairs of alike descriptors, exactly; score = -(squared Euclidean distance), normalised with --bundle."""
    if sum(value is not None for value in (top, k, max_distance)) > 1:
        raise typer.BadParameter("give only one of --top, --k and --max-distance")
    if ray is None and (actors, parts) != (None, None):
        raise typer.BadParameter("--actors and --parts are of --ray")
    check_output(output, PAIRS, (queries, references))
    start = time.perf_counter()
    opened = None if bundle is None else Bundle(bundle)
    wanted: dict[str, Any] = {"top": top, "k": k, "max_distance": max_distance, "bundle": opened, "device": device}
    if ray is None:
        found, more, by = searching.search(queries, references, threads=threads, **wanted), {}, ""
    else:
        with progress_bar("searching") as progress:
            done = search_on_cluster(
                queries,
                references,
                address=ray,
                actors=actors,
                threads=threads,
                parts=parts,
                progress=progress,
                **wanted,
            )
        found, more, by = done.found, _by_whom(done), _by_whom_text(done)
    searching.save_pairs(found, output)
    seconds = time.perf_counter() - start
    constants = opened and opened.manifest.score_normalisation
    result = {
        "output": str(output),
        "pairs": len(found.pairs),
        "queries": len(found.query_ids),
        "references": len(found.reference_ids),
        "device": found.device,
        "score_normalisation": constants.model_dump() if constants else None,
        "seconds": round(seconds, 3),
        **more,
    }
    sizes = f"{len(found.query_ids)} queries and {len(found.reference_ids)} references"
    how = f", scores normalised (alpha {constants.alpha:g}, n {constants.n})" if constants else ""
    on = " on the graphics card" if found.device == "cuda" else ""
    text = f"{len(found.pairs)} pairs of {sizes} in {seconds:.1f} s{on}{how}{by}: {output}"
    print_result(result, text, as_json)


def _by_whom(done: ClusterFound) -> dict[str, Any]:
    return {"parts": done.parts, "again": done.again, "actors": [asdict(actor) for actor in done.actors]}


def _by_whom_text(done: ClusterFound) -> str:
    most = max(actor.peak_bytes for actor in done.actors) / 2**20
    return f" by {len(done.actors)} actors, {done.parts} parts, at most {most:.0f} MiB in one"
