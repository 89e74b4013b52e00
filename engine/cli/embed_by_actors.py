"""``copytrace embed --ray``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..distributed import embed_on_cluster
from .console import Interrupted, progress_bar
from .summary import print_summary, summary_as_dict, summary_as_text

GOES_ON = "the same command goes on"


def embed_by_actors(
    source: Path,
    output: Path,
    shards: int,
    address: str,
    actors: int | None,
    threads: int | None,
    engine: Mapping[str, Any],
    options: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Embed on a cluster and say how it went. engine, options: as of ``Engine`` and ``embed_source``."""
    try:
        with progress_bar("embedding") as progress:
            done = embed_on_cluster(
                source,
                output,
                shards,
                address=address,
                actors=actors,
                threads=threads,
                engine=engine,
                progress=progress,
                **options,
            )
    except Interrupted:
        raise Interrupted(f"interrupted; what is done is kept, {GOES_ON}") from None
    summary = done.summary
    result = {
        **summary_as_dict(summary, output),
        "runtime": done.runtime,
        "shards": shards,
        "parts": str(done.parts),
        "skipped": done.skipped,
        "again": done.again,
        "actors": done.actors,
        "threads": done.threads,
        "starting_seconds": round(done.starting, 3),
    }
    if not summary.embedded:
        result["error"] = f"none of the {summary.images} images could be used"
    again = f", {done.again} handed out again" if done.again else ""
    text = (
        f"computed by {done.runtime} in {done.actors} actors of {done.threads} threads, ready after {done.starting:.1f} s\n"
        f"{summary_as_text(summary, output)}\n"
        f"{shards} shards, {done.skipped} done before{again}; they stay in {done.parts} until you delete them"
    )
    print_summary(result, text, as_json)
