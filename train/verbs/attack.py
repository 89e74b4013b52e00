"""The verb ``attack``."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from copytrace.engine.read import describe_ignored, open_source

from ..settings import AttackSet


def attack(
    source: Annotated[
        Path, typer.Argument(help="Images to attack: a folder, an uncompressed tar or a text file of paths.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="A new folder: queries/, truth.csv, edits.csv.")],
    count: Annotated[int, typer.Option(min=1, help="Queries to make.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same queries.")] = 0,
    distractors: Annotated[
        Path | None, typer.Option(help="Images without a reference: every second query is one of them.")
    ] = None,
    attacks: Annotated[
        AttackSet, typer.Option(help="The edits: the 25 of ISC2021's second place, or the wide set for training.")
    ] = "isc2021",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Make edited queries with ground truth from any images, to measure and calibrate on."""
    from ..data.attack_set import make_queries
    from ..data.query_set import write_set

    start = time.perf_counter()
    images = open_source(source)
    others = None if distractors is None else open_source(distractors)
    made = write_set(make_queries(images, count, seed, others, attacks), output)
    seconds = time.perf_counter() - start
    ignored = Counter(images.ignored) + Counter(others.ignored if others is not None else {})
    result = {"output": str(output), "queries": made, "ignored": ignored, "seconds": round(seconds, 3)}
    text = f"{made} queries in {seconds:.1f} s: {output}"
    print(json.dumps(result) if as_json else "\n".join([text, *([describe_ignored(ignored)] if ignored else [])]))
