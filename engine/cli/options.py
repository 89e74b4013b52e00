"""What options of several verbs have in common."""

import math
from pathlib import Path
from typing import Annotated

import typer

from ..infer import Device, Runtime
from ..read import IdRule

DeviceOption = Annotated[Device, typer.Option(help="Where to compute: a graphics card (cuda), or the CPU.")]
RuntimeOption = Annotated[
    Runtime,
    typer.Option(
        help="What computes. auto: on a graphics card the faster one of onnxruntime and tensorrt, measured at the start; on "
        "the CPU native for the int8 networks that it knows (the same rows), else onnxruntime."
    ),
]

IdsOption = Annotated[
    IdRule,
    typer.Option("--id", help="An image's id: its file name without extension, its path, or WebDataset's key."),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        metavar="auto|HOST:PORT",
        help="Share the work out on a Ray cluster: one started here, or the one with this head.",
    ),
]
ActorsOption = Annotated[
    int | None,
    typer.Option(min=1, help="With --ray: actors, each with --threads processors (default: all there is room for)."),
]


def path(text: str | Path) -> Path:
    """A path that was given; an empty one, of an unset variable say, would be taken for the current folder."""
    if not str(text):
        raise typer.BadParameter("an empty path")
    return Path(text)


def number(value: float | None) -> float | None:
    """A number that is one: NaN passes every comparison with a limit."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is not a number")
    return value
