"""``copytrace evaluate`` and ``copytrace calibrate``."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .. import scoring
from ..found import origin
from ..outputs import PNG, REPORT, check_output
from ..read import IdRule, open_source
from ..score import Evaluation, read_labels
from ..score.plots import precision_recall_png
from ..store import open_descriptors
from ..store.atomic import replacing
from .console import print_result
from .options import number, path
from .thresholds import calibrate_from

PairsFile = Annotated[
    Path, typer.Argument(help="query_id,reference_id,score; comma or tab, with or without a header.", parser=path)
]
TruthFile = Annotated[
    Path, typer.Argument(help="query_id,reference_id; the reference is empty where there is no copy.", parser=path)
]
KeepUnlabelled = Annotated[
    bool, typer.Option("--keep-unlabelled", help="Count pairs of queries that the ground truth does not list as wrong.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")]


def evaluate(
    pairs: PairsFile,
    truth: TruthFile,
    keep_unlabelled: KeepUnlabelled = False,
    no_cap: Annotated[bool, typer.Option("--no-cap", help="Keep more than 10 pairs per labelled query.")] = False,
    classes: Annotated[
        Path | None, typer.Option(help="A CSV with query_id and class_name: figures per class as well.", parser=path)
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the precision-recall curve as PNG.", parser=path)] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report.", parser=path)] = None,
    queries: Annotated[Path | None, typer.Option(help="The query images, for the report.", parser=path)] = None,
    references: Annotated[Path | None, typer.Option(help="The reference images, for the report.", parser=path)] = None,
    ids: Annotated[IdRule, typer.Option("--id", help="How those images' files become ids, as in embed.")] = "stem",
    descriptors: Annotated[
        list[Path] | None,
        typer.Option(
            help="A descriptor file the pairs come from; the report names its bundle. May be given twice.", parser=path
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score pairs against the ground truth, the way the challenge does."""
    inputs = [path for path in (pairs, truth, classes, *(descriptors or [])) if path is not None]
    pictures = [path for path in (queries, references) if path is not None]
    if plot is not None:
        check_output(plot, PNG, _files(inputs, pictures), others=[] if report is None else [report])
    if report is not None:
        check_output(report, REPORT, _files(inputs, pictures))
    labels = None if classes is None else read_labels(classes, "class_name")
    scored = scoring.score_pairs(pairs, truth, labels=labels, drop_unlabelled=not keep_unlabelled, cap=not no_cap)
    if plot is not None:
        with replacing(plot) as temporary:
            temporary.write_bytes(precision_recall_png(scored.ranking, scored.evaluation))
    result = asdict(scored.evaluation)
    if report is not None:
        missing = scoring.save_report(
            scored, report, queries=queries, references=references, ids=ids, origin=origin_of(descriptors or [])
        )
        if missing:
            result["missing_pictures"] = [asdict(one) for one in missing]
    if classes is not None:
        result["classes"] = {name: asdict(part) for name, part in scored.classes.items()}
    print_result(result, evaluation_text(scored.evaluation, scored.classes), as_json)


def origin_of(paths: list[Path]) -> dict[str, str]:
    """What descriptor files tell about themselves, for a report."""
    with ExitStack() as stack:
        files = [stack.enter_context(open_descriptors(path)) for path in paths]
        return origin(*files) | ({"descriptor files": ", ".join(map(str, paths))} if paths else {})


def _files(inputs: list[Path], sources: list[Path]) -> Iterator[Path]:
    """Every file that is read; sources are opened only when it comes to them."""
    yield from inputs
    for source in sources:
        yield from open_source(source, ids="path").files()


def evaluation_text(evaluation: Evaluation, classes: dict[str, Evaluation]) -> str:
    threshold = evaluation.threshold_at_p90
    lines = [
        f"{name:<16} micro-AP {part.micro_ap:.4f}  recall@P90 {part.recall_at_p90:.4f}  ({part.positives} copies)"
        for name, part in classes.items()
    ]
    lines += [
        f"micro-AP          {evaluation.micro_ap:.6f}",
        f"recall@P90        {evaluation.recall_at_p90:.6f}",
        f"threshold@P90     {'never reached' if threshold is None else f'{threshold:.6g}'}",
        f"positives         {evaluation.positives}",
        f"pairs used        {evaluation.pairs_used}",
        f"queries           {evaluation.queries}",
    ]
    return "\n".join(lines)


def calibrate(
    pairs: Annotated[
        Path | None, typer.Argument(help="query_id,reference_id,score, as in evaluate.", parser=path)
    ] = None,
    truth: Annotated[Path | None, typer.Argument(help="query_id,reference_id, as in evaluate.", parser=path)] = None,
    collection: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Instead of pairs and truth: a collection. Its two thresholds are set from what was decided in its review "
            "queue, to the wanted precision (default: 0.95).",
            metavar="REFS.CT",
            parser=path,
        ),
    ] = None,
    precision: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, callback=number, help="Wanted precision, such as 0.95.")
    ] = None,
    false_matches: Annotated[
        float | None, typer.Option(min=0.0, callback=number, help="Wanted false matches per query, such as 0.001.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(min=0.01, max=0.999, callback=number, help="Of the interval. Default: 0.95.")
    ] = None,
    keep_unlabelled: KeepUnlabelled = False,
    as_json: AsJson = False,
) -> None:
    """Find the lowest threshold that keeps a wanted precision, or a wanted number of false matches per query."""
    if precision == 0.0:
        raise typer.BadParameter("a precision of 0 asks for nothing")
    if collection is not None:
        if keep_unlabelled or any(value is not None for value in (pairs, truth, false_matches, confidence)):
            raise typer.BadParameter("--from takes --precision and --json alone")
        calibrate_from(collection, 0.95 if precision is None else precision, as_json)
        return
    if pairs is None or truth is None:
        raise typer.BadParameter("give pairs and truth, or --from REFS.CT")
    if (precision is None) == (false_matches is None):
        raise typer.BadParameter("give either --precision or --false-matches")
    confidence = 0.95 if confidence is None else confidence
    found = scoring.calibrate(
        pairs,
        truth,
        precision=precision,
        false_matches_per_query=false_matches,
        confidence=confidence,
        drop_unlabelled=not keep_unlabelled,
    )
    text = "\n".join(
        [
            f"threshold               {found.threshold!r}",
            f"{100 * confidence:g} % interval           {found.threshold_low:.6g} to {found.threshold_high:.6g}",
            f"precision there         {found.precision:.6f}",
            f"recall there            {found.recall:.6f}",
            f"false matches per query {found.false_matches_per_query:.6f}",
            f"matches                 {found.matches}",
        ]
    )
    print_result(asdict(found), text, as_json)
