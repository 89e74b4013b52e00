"""``copytrace match`` and ``copytrace verify``."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, TextIO

import numpy as np
import typer

from ..alike import precision_of
from ..api import Engine
from ..arguments import MAX_THREADS
from ..bundle import DEFAULT_BUNDLE
from ..collection import is_collection
from ..errors import MatchError
from ..manifest import Precision
from ..match.report import render_report
from ..matches import LIKELY, Match, Matched
from ..matching import CANDIDATES, Matcher, Mode
from ..milvus_index import IndexState
from ..outputs import EVIDENCE, PAIRS, REPORT, check_output
from ..published import Rule
from ..read import DEFAULT_PIXEL_LIMIT, BadImage, IdRule, Source, open_source
from ..references import References, references_at
from ..region_finders import FinderName, region_finder
from ..score import read_pairs, write_pairs
from ..store.atomic import replacing
from ..stored_crops import COST
from .console import errors, print_result, progress_bar
from .indexed import IndexOption, searched
from .opening import open_engine
from .options import DeviceOption, IdsOption, RuntimeOption, path
from .summary import SHOWN_FAILURES

Queries = Annotated[
    Path, typer.Argument(help="A folder (recursive), uncompressed tar, text file of paths, or image.", parser=path)
]
ReferencesArgument = Annotated[
    Path, typer.Argument(help="A collection, or the same: the images that copies may be made of.", parser=path)
]
Evidence = Annotated[
    Path | None, typer.Option(help="Also write what was found, one JSON object for each pair.", parser=path)
]
Report = Annotated[Path | None, typer.Option(help="Also draw likely copies on an HTML page.", parser=path)]
Regions = Annotated[
    FinderName | None,
    typer.Option(
        help="Who finds pasted photographs: straight edges, the bundle's detector, or both. [default: what it has]"
    ),
]
Crops = Annotated[
    bool,
    typer.Option(
        "--crops", help=f"Compare nine crops of each reference too: {COST}. A collection has them or not, see its add."
    ),
]
Bundle = Annotated[Path, typer.Option(help="Folder with networks, projection and bank.", parser=path)]
PrecisionOption = Annotated[
    Precision | None, typer.Option(help="Which of the bundle's networks (default: the collection's, or int8).")
]
Threads = Annotated[int | None, typer.Option(min=1, max=MAX_THREADS, help="Default: all processors.")]
PixelLimit = Annotated[int, typer.Option(min=1, help="Images with more pixels are refused.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files to write."""

    pairs: Path
    evidence: Path | None
    report: Path | None


def match(
    queries: Queries,
    references: ReferencesArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The matches.csv to write, best first.", parser=path)],
    mode: Annotated[
        Mode,
        typer.Option(help="Global views alone; their best candidates verified; also candidates by local features."),
    ] = "verify",
    rule: Annotated[
        Rule, typer.Option(help="Ours, or that of ISC2021's third place, which has a way of its own instead of modes.")
    ] = "copytrace",
    evidence: Evidence = None,
    report: Report = None,
    candidates: Annotated[int, typer.Option(min=1, help="References looked at for every query.")] = CANDIDATES,
    regions: Regions = None,
    crops: Crops = False,
    index: IndexOption = None,
    bundle: Bundle = DEFAULT_BUNDLE,
    precision: PrecisionOption = None,
    device: DeviceOption = "auto",
    runtime: RuntimeOption = "auto",
    ids: IdsOption = "stem",
    threads: Threads = None,
    pixel_limit: PixelLimit = DEFAULT_PIXEL_LIMIT,
    as_json: AsJson = False,
) -> None:
    """Find of which references images are copies, and what speaks for it; score = log odds of a copy.

    By the published rule the score is a number of matches, added up over its three branches.
    """
    if rule != "copytrace" and mode != "verify":
        raise typer.BadParameter(f"the rule {rule} has no modes", param_hint="--mode")
    if index is not None and not is_collection(references):
        raise typer.BadParameter(f"{references} is no collection, and an index is of one", param_hint="--index")
    chosen = precision or precision_of(references)
    engine = open_engine(
        bundle,
        precision=chosen,
        device=device,
        runtime=runtime,
        threads=threads,
        pixel_limit=pixel_limit,
    )
    source, place = open_source(queries, ids=ids), _opened(references, ids)
    outputs = Outputs(output, evidence, report)
    _check_outputs(outputs, source, place)
    region_finder(regions, engine.embedder.bundle, chosen)  # a bundle without a detector shows before a long run
    start = time.perf_counter()
    found = _references(engine, place, local=mode != "views", crops=crops)
    with searched(index, references, engine) as (nearest, state), progress_bar("matching") as progress:
        matcher = Matcher(
            found,
            mode,
            rule=rule,
            engine=engine,
            candidates=candidates,
            finder=regions,
            pictures=report is not None,
            nearest=nearest,
            announce=errors.print,
        )
        _report(matcher.match_source(source, progress), found, outputs, start, engine.runtime, as_json, state)


def verify(
    queries: Queries,
    references: ReferencesArgument,
    pairs: Annotated[
        Path, typer.Option(help="The candidates: query_id,reference_id,score; scores do not count.", parser=path)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The verified.csv to write, best first.", parser=path)],
    evidence: Evidence = None,
    report: Report = None,
    regions: Regions = None,
    crops: Crops = False,
    bundle: Bundle = DEFAULT_BUNDLE,
    precision: PrecisionOption = None,
    device: DeviceOption = "auto",
    runtime: RuntimeOption = "auto",
    ids: IdsOption = "stem",
    threads: Threads = None,
    pixel_limit: PixelLimit = DEFAULT_PIXEL_LIMIT,
    as_json: AsJson = False,
) -> None:
    """Take a second look at pairs that were found otherwise, and give each the score that ``match`` would."""
    chosen = precision or precision_of(references)
    engine = open_engine(
        bundle,
        precision=chosen,
        device=device,
        runtime=runtime,
        threads=threads,
        pixel_limit=pixel_limit,
    )
    source, place = open_source(queries, ids=ids), _opened(references, ids)
    outputs = Outputs(output, evidence, report)
    _check_outputs(outputs, source, place, pairs)
    region_finder(regions, engine.embedder.bundle, chosen)
    table = read_pairs(pairs)
    start = time.perf_counter()
    found = _references(engine, place, local=True, crops=crops, only=set(table.references))
    drawn = report is not None
    matcher = Matcher(found, "verify", engine=engine, finder=regions, pictures=drawn, announce=errors.print)
    wanted = zip(table.queries, table.references, strict=True)
    with progress_bar("verifying") as progress:
        _report(matcher.verify_source(source, wanted, progress), found, outputs, start, engine.runtime, as_json)


def _opened(references: Path, ids: IdRule) -> Source | Path:
    """A source of images, or the folder of a collection."""
    return references if is_collection(references) else open_source(references, ids=ids)


def _check_outputs(outputs: Outputs, source: Source, references: Source | Path, *more: Path) -> None:
    kept = references.iterdir() if isinstance(references, Path) else references.files()
    inputs = [*source.files(), *kept, *more]
    check_output(outputs.pairs, PAIRS, inputs)
    if outputs.evidence is not None:
        check_output(outputs.evidence, EVIDENCE, inputs, others=[outputs.pairs])
    if outputs.report is not None:
        others = [outputs.pairs, *([outputs.evidence] if outputs.evidence else [])]
        check_output(outputs.report, REPORT, inputs, others=others)


def _references(
    engine: Engine, place: Source | Path, *, local: bool, crops: bool, only: set[str] | None = None
) -> References:
    with progress_bar("references") as progress:
        return references_at(engine.embedder, place, local=local, crops=crops or None, only=only, progress=progress)


def _report(
    matched: Iterator[Matched],
    references: References,
    outputs: Outputs,
    start: float,
    runtime: str,
    as_json: bool,
    index: IndexState | None = None,
) -> None:
    """Write what was found, evidence while it comes, and say what it was."""
    rows: list[tuple[float, str, str]] = []
    failed: list[BadImage] = []
    likely: list[Match] = []
    count = 0
    with ExitStack() as stack:
        file: TextIO | None = None
        if outputs.evidence is not None:
            file = stack.enter_context(stack.enter_context(replacing(outputs.evidence)).open("w", encoding="utf-8"))
        for query in matched:
            count += 1
            if query.reason is not None:
                failed.append(BadImage(query.query_id, query.reason))
            likely += [one for one in query.matches if one.probability >= LIKELY]
            for one in query.matches:
                rows.append((-one.score, query.query_id, one.reference_id))
                if file is not None:
                    file.write(one.evidence.to_json() + "\n")
        if failed and len(failed) == count:
            raise MatchError(f"none of the {count} queries can be used: {failed[0].id}: {failed[0].reason}")
    rows.sort()
    columns = [name for _, name, _ in rows], [name for _, _, name in rows]
    with replacing(outputs.pairs) as temporary:
        write_pairs(temporary, *columns, np.array([-score for score, _, _ in rows]))
    seconds = time.perf_counter() - start
    copies = len({one.evidence.query_id for one in likely})
    summary = f"{copies} of {count} queries are likely copies, {len(rows)} pairs of {len(references)} references"
    if index is not None:
        summary += " (candidates by an approximate index)"
    if outputs.report is not None:
        likely.sort(key=lambda one: (-one.score, one.evidence.query_id, one.reference_id))
        page = render_report("copytrace match", summary, [one.evidence for one in likely])
        with replacing(outputs.report) as temporary:
            temporary.write_text(page, encoding="utf-8")
    bad = failed + references.failed
    result = {
        "output": str(outputs.pairs),
        "queries": count,
        "references": len(references),
        "pairs": len(rows),
        "likely_copies": copies,
        "failed": [asdict(one) for one in failed],
        "failed_references": [asdict(one) for one in references.failed],
        "seconds": round(seconds, 3),
        "runtime": runtime,
        "index": None if index is None else asdict(index),
    }
    lines = [f"computed by {runtime}", *(f"{one.id}: {one.reason}" for one in bad[:SHOWN_FAILURES])]
    if len(bad) > SHOWN_FAILURES:
        lines.append(f"... and {len(bad) - SHOWN_FAILURES} more; --json lists them all")
    lines.append(
        f"{summary}; {len(failed)} queries and {len(references.failed)} references failed, "
        f"in {seconds:.1f} s: {outputs.pairs}"
    )
    print_result(result, "\n".join(lines), as_json)
