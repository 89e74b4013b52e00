"""``copytrace collection thresholds``, and ``copytrace calibrate --from``: from which probabilities on verdicts change."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..calibration import calibrate_collection
from ..collection import StoredThresholds, Thresholds
from .console import print_result
from .options import number, path

WHO = "command line"


def thresholds(
    collection: Annotated[Path, typer.Argument(help="The collection's folder.", metavar="REFS.CT", parser=path)],
    match: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, callback=number, help="From this probability on: match.")
    ] = None,
    review: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, callback=number, help="From this probability on: review.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Show or set the probabilities from which on a pair is a match, or to be reviewed; a service that runs follows."""
    with StoredThresholds(collection) as stored:
        before = after = stored.current()
        if match is not None or review is not None:
            after = Thresholds(before.match if match is None else match, before.review if review is None else review)
            stored.set(after, WHO)
    result: dict[str, Any] = {"collection": str(collection), **asdict(after)}
    lines = [f"match   {after.match!r}", f"review  {after.review!r}"]
    if after != before:
        result["before"] = asdict(before)
        lines.append(_undo(collection, before))
    print_result(result, "\n".join(lines), as_json)


def calibrate_from(collection: Path, precision: float, as_json: bool) -> None:
    """Set the thresholds from the decisions in the review queue, and say what was done."""
    found = calibrate_collection(collection, precision, who=f"{WHO}: calibrate")
    there = "no decided pair is a match" if found.precision is None else f"{found.precision:.4f} of decided pairs"
    lines = [
        f"decisions        {found.accepted} accepted, {found.rejected} rejected",
        f"match            {found.before.match!r} -> {found.after.match!r}",
        f"review           {found.before.review!r} -> {found.after.review!r}",
        f"precision there  {there}",
        f"missed           {found.missed} of the accepted pairs would not be reviewed any more",
        _undo(collection, found.before),
    ]
    print_result({"collection": str(collection), **asdict(found)}, "\n".join(lines), as_json)


def _undo(collection: Path, before: Thresholds) -> str:
    options = f"--match {before.match!r} --review {before.review!r}"
    return f"back with        copytrace collection thresholds {shlex.quote(str(collection))} {options}"
