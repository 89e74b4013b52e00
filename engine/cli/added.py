"""What ``copytrace collection add`` ended with, for programs and for people."""

from dataclasses import asdict
from pathlib import Path

from ..gathering import Gathered
from ..read import BadImage, describe_ignored
from .embed import first_few


def as_dict(result: Gathered, collection: Path) -> dict[str, object]:
    return {
        "collection": str(collection),
        **asdict(result),
        "seconds": round(result.seconds, 3),
        "stage_seconds": {stage: round(seconds, 3) for stage, seconds in result.stage_seconds.items()},
    }


def as_text(result: Gathered, collection: Path) -> str:
    failed = {bad.id for bad in result.failed}
    kept = [BadImage(bad.id, f"damaged: {bad.reason}") for bad in result.damaged if bad.id not in failed]
    lines = [*first_few(result.failed, "with --json"), *first_few(kept, "with --json")]
    if result.ignored:
        lines.append(describe_ignored(result.ignored))
    lines.append(
        f"{result.images} images: {result.added} added, {result.replaced} replaced, {result.unchanged} there already, "
        f"{len(result.failed)} failed, {len(result.damaged)} damaged, in {result.seconds:.1f} s: {collection}"
    )
    return "\n".join(lines)
