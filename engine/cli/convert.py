"""``copytrace convert``."""

from pathlib import Path
from typing import Annotated

import typer

from ..embedder import Role
from ..store import convert_descriptors
from .console import print_result
from .options import path


def convert(
    source: Annotated[Path, typer.Argument(help="A descriptor file (.h5), .npy or .parquet.", parser=path)],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="To write: .npy (and .ids.txt), .parquet, or .h5.", parser=path),
    ],
    role: Annotated[Role, typer.Option(help="Which half of a submission.")] = "reference",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Turn a descriptor file into a NumPy array or a Parquet table, or one of these into a descriptor file."""
    done = convert_descriptors(source, output, role=role)
    result = {"output": str(output), "rows": done.rows, "dimension": done.dimension, "left_out": list(done.left_out)}
    text = f"{done.rows} descriptors of {done.dimension} values: {output}"
    if done.left_out:
        text += f"\nnot kept by this format: {', '.join(done.left_out)}"
    print_result(result, text, as_json)
