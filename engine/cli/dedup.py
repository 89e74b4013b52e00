"""``copytrace dedup``."""

import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..api import Engine
from ..arguments import MAX_THREADS
from ..bundle import DEFAULT_BUNDLE
from ..dedup import (
    Duplicates,
    find_duplicates,
    opened,
    save_duplicates,
    save_duplicates_report,
)
from ..embedder import Damaged
from ..manifest import Precision
from ..outputs import GROUPS, REPORT, check_output, is_hdf5
from ..read import BadImage, describe_ignored
from ..run import OnError
from .console import errors, print_result, progress_bar
from .opening import open_engine
from .options import DeviceOption, IdsOption, RuntimeOption, number, path
from .summary import first_few


def dedup(
    source: Annotated[
        Path,
        typer.Argument(help="What embed takes (a folder, tar, list or - ), or a descriptor file (HDF5).", parser=path),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The groups.csv to write.", parser=path)],
    max_distance: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            callback=number,
            help="Images no further apart (Euclidean, not squared) are joined. Default: 0.65; with --verify 1.2.",
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Join only what a second look, at local features and pixels, takes for copies; "
            "--max-distance then says which pairs are looked at.",
        ),
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page with the pictures.", parser=path)] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="The images of a descriptor file: by them the best is chosen.", parser=path)
    ] = None,
    bundle: Annotated[
        Path, typer.Option(help="Folder with networks, projection and bank.", parser=path)
    ] = DEFAULT_BUNDLE,
    precision: Annotated[Precision, typer.Option(help="Which of the bundle's networks.")] = "int8",
    device: DeviceOption = "auto",
    runtime: RuntimeOption = "auto",
    ids: IdsOption = "stem",
    on_error: Annotated[OnError, typer.Option(help="Bad images: list them, or stop at the first.")] = "skip",
    damaged: Annotated[
        Damaged, typer.Option(help="Damaged images that can still be decoded: compare them, or leave them out.")
    ] = "keep",
    threads: Annotated[int | None, typer.Option(min=1, max=MAX_THREADS, help="Default: all processors.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Find near-duplicates within one source, group them, and say which picture of each group is the best."""
    start = time.perf_counter()
    engine: Engine | None = None
    if is_hdf5(source):
        if (bundle, precision, device, runtime) != (DEFAULT_BUNDLE, "int8", "auto", "auto"):
            raise typer.BadParameter(
                "a descriptor file is embedded already: no --bundle, --precision, --device or --runtime"
            )
        if verify:
            raise typer.BadParameter("--verify looks at images, not at a descriptor file")
        album = None if pictures is None else opened(pictures, ids, "fail")
        _check_outputs(output, report, [source, *(album.files() if album is not None else ())])
        found = find_duplicates(source, max_distance=max_distance, pictures=album, threads=threads)
    else:
        if pictures is not None:
            raise typer.BadParameter("--pictures goes with a descriptor file; other sources have their own")
        album = opened(source, ids, on_error)
        _check_outputs(output, report, list(album.files()))
        engine = open_engine(bundle, precision=precision, device=device, runtime=runtime, threads=threads)
        with progress_bar("embedding") as progress:
            found = find_duplicates(
                album,
                engine,
                max_distance=max_distance,
                verify=verify,
                on_error=on_error,
                damaged=damaged,
                threads=threads,
                progress=progress,
            )
    save_duplicates(found, output)
    result = _as_dict(found, output, report)
    if report is not None:
        result["missing_pictures"] = [asdict(one) for one in save_duplicates_report(found, report)]
    result["seconds"] = round(time.perf_counter() - start, 3)
    if engine is not None:
        result["runtime"] = engine.runtime
    if not found.embedded:
        result["error"] = f"none of the {found.images} images could be used"
    by = "" if engine is None else f"computed by {engine.runtime}\n"
    print_result(result, by + _as_text(found, output), as_json)
    if not found.embedded:
        errors.print(f"error: {result['error']}")
        raise typer.Exit(1)


def _check_outputs(output: Path, report: Path | None, inputs: Iterable[Path]) -> None:
    check_output(output, GROUPS, inputs, others=[] if report is None else [report])
    if report is not None:
        check_output(report, REPORT, inputs)


def _as_dict(found: Duplicates, output: Path, report: Path | None) -> dict[str, object]:
    return {
        "output": str(output),
        **({} if report is None else {"report": str(report)}),
        "images": found.images,
        "embedded": found.embedded,
        "max_distance": found.max_distance,
        "groups": len(found),
        "duplicates": sum(map(len, found)),
        "not_kept": len(found.redundant()),
        "failed": [asdict(bad) for bad in found.failed],
        "damaged": [asdict(bad) for bad in found.damaged],
        "ignored": dict(found.ignored),
    }


def _as_text(found: Duplicates, output: Path) -> str:
    failed = {bad.id for bad in found.failed}
    kept = [BadImage(bad.id, f"damaged: {bad.reason}") for bad in found.damaged if bad.id not in failed]
    lines = [*first_few(found.failed, "by --json"), *first_few(kept, "by --json")]
    if found.ignored:
        lines.append(describe_ignored(found.ignored))
    lines.append(
        f"{found.embedded} of {found.images} images compared, {len(found.failed)} failed, {len(found.damaged)} damaged; "
        f"{sum(map(len, found))} in {len(found)} groups, {len(found.redundant())} not kept: {output}"
    )
    return "\n".join(lines)
