"""``copytrace submission``."""

from pathlib import Path
from typing import Annotated

import typer

from ..store import check_submission, write_submission
from .console import print_result
from .options import path


def submission(
    files: Annotated[
        list[Path],
        typer.Argument(help="Descriptor files of queries and references; with --check, a submission.", parser=path),
    ],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The submission to write.", parser=path)] = None,
    check: Annotated[bool, typer.Option("--check", help="Check a submission instead of writing one.")] = False,
    phase: Annotated[
        int | None, typer.Option(min=1, max=2, help="Also check the counts and ids of this phase.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Write the challenge's submission file, or check one."""
    if check:
        if len(files) != 1 or output is not None:
            raise typer.BadParameter("--check takes one file and writes none")
        violations = check_submission(files[0], phase)
        text = "\n".join(violations) or f"{files[0]}: valid"
        print_result({"file": str(files[0]), "valid": not violations, "violations": violations}, text, as_json)
        if violations:
            raise typer.Exit(1)
        return
    if len(files) != 2 or output is None:
        raise typer.BadParameter("give the queries' file, the references' file and -o")
    if phase is not None:
        raise typer.BadParameter("--phase goes with --check")
    queries, references = write_submission(files[0], files[1], output)
    result = {"output": str(output), "queries": queries, "references": references}
    print_result(result, f"{queries} queries and {references} references: {output}", as_json)
