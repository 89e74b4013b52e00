"""What ``copytrace collection add`` ended with, for programs and for people."""

from dataclasses import asdict
from pathlib import Path

from ..gathering import Gathered
from ..read import BadImage, describe_ignored
from ..source_metadata import MetadataReport
from .summary import first_few


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
    lines += [*first_few(result.metadata.failed, "with --json"), *_about(result.metadata)]
    if result.ignored:
        lines.append(describe_ignored(result.ignored))
    lines.append(
        f"{result.images} images: {result.added} added, {result.replaced} replaced, {result.unchanged} there already, "
        f"{len(result.failed)} failed, {len(result.damaged)} damaged, in {result.seconds:.1f} s: {collection}"
    )
    return "\n".join(lines)


def _about(metadata: MetadataReport) -> list[str]:
    """What is not as the source alone would have it."""
    told = (
        (len(metadata.failed), "without the metadata of their source"),
        (metadata.overridden, "with keys of --metadata in place of those of their source"),
        (metadata.changed, "there already, with other metadata from now on"),
        (metadata.kept, "there already, with other metadata than their source has, which --replace takes"),
    )
    return [f"{count} {what}" for count, what in told if count]
