"""``copytrace demo``: the main job on the photographs that come with the package."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .. import api, scoring, searching
from ..embedder import Role
from ..errors import StoreError
from ..score import read_labels
from ..store import write_submission
from .console import print_result, progress_bar
from .options import path
from .score import evaluation_text, origin_of

PHOTOS = Path(__file__).parent.parent / "photos"


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for everything the demo writes.", parser=path)
    ] = Path("demo-output"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Embed, search, score and report on the photographs that come with the package; needs nothing else."""
    engine = api.Engine()  # what it lacks is said before anything is made
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{output}: cannot be made: {error.strerror}") from None
    stages: dict[str, float] = {}
    roles: tuple[tuple[Role, str], ...] = (("reference", "references"), ("query", "queries"))
    for role, name in roles:
        folder = PHOTOS / name
        with progress_bar(f"embedding {folder.name}") as progress:
            summary = engine.embed_source(folder, output / f"{folder.name}.h5", role=role, progress=progress)
        for stage, seconds in summary.stage_seconds.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    submission, pairs, report = (output / name for name in ("fb-isc-submission.h5", "pairs.csv", "report.html"))
    write_submission(output / "queries.h5", output / "references.h5", submission)
    found = searching.search(submission, submission)
    searching.save_pairs(found, pairs)
    scored = scoring.score_pairs(pairs, PHOTOS / "truth.csv", labels=read_labels(PHOTOS / "edits.csv", "class_name"))
    scoring.save_report(
        scored,
        report,
        title="copytrace demo",
        queries=PHOTOS / "queries",
        references=PHOTOS / "references",
        stages=stages,
        origin=origin_of([output / "queries.h5", output / "references.h5"]),
    )
    paths = {"submission": str(submission), "pairs": str(pairs), "report": str(report)}
    lines = [
        evaluation_text(scored.evaluation, scored.classes),
        *(f"{name:<17} {path}" for name, path in paths.items()),
    ]
    print_result({**asdict(scored.evaluation), **paths}, "\n".join(lines), as_json)
