"""``copytrace merge``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..store import merge_descriptors, merge_parts
from .console import errors, print_result
from .options import path


def merge(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Descriptor files of different images, or the folder of all parts of one source.", parser=path
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The descriptor file to write.", parser=path)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Put descriptor files that were made in the same way, in parts, into one.

    Of a folder that `embed --shard` filled it makes the file that one run would have made, and nothing where a part is missing.
    """
    folder = files[0] if len(files) == 1 and files[0].is_dir() else None
    if folder is None and len(files) < 2:
        raise typer.BadParameter("give two files or more, or a folder of parts")
    done = merge_descriptors(files, output) if folder is None else merge_parts(folder, output)
    text = f"{done.rows} rows of {done.images} images, {done.failed} failed, from {done.files} files: {output}"
    result = {"output": str(output), **asdict(done)}
    if not done.rows:
        result["error"] = f"none of the {done.failed} images could be used"
    print_result(result, text, as_json)
    if not done.rows:
        errors.print(f"error: {result['error']}")
        raise typer.Exit(1)
