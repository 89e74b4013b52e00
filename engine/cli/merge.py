"""``copytrace merge``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..store import merge_descriptors
from .console import print_result
from .options import path


def merge(
    files: Annotated[list[Path], typer.Argument(help="Descriptor files of different images.", parser=path)],
    output: Annotated[Path, typer.Option("-o", "--output", help="The descriptor file to write.", parser=path)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Put descriptor files that were made in the same way, in parts, into one."""
    if len(files) < 2:
        raise typer.BadParameter("give two files or more")
    done = merge_descriptors(files, output)
    text = f"{done.rows} rows of {done.images} images, {done.failed} failed, from {len(files)} files: {output}"
    print_result({"output": str(output), "files": len(files), **asdict(done)}, text, as_json)
