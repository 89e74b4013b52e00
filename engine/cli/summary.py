"""What is said of a run from images to descriptors."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from ..read import BadImage, describe_ignored
from ..run import Summary
from .console import errors, print_result

SHOWN_FAILURES = 10


def print_summary(result: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print it, and end with 1 where it has an error. Raises: typer.Exit."""
    print_result(result, text, as_json)
    if "error" in result:
        errors.print(f"error: {result['error']}")
        raise typer.Exit(1)


def summary_as_dict(summary: Summary, path: Path) -> dict[str, object]:
    """A run to a descriptor file as the machine hears of it."""
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


def summary_as_text(summary: Summary, path: Path) -> str:
    """The same for people."""
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
