"""``train detector`` and ``train add-detector``: the network that finds pasted photographs."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from copytrace.engine import Bundle
from copytrace.engine.cli.options import path

from ..settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
RunFolder = Annotated[
    Path, typer.Option("-o", "--output", help="A new folder for scenes, checkpoint, log and network.", parser=path)
]
_D = Settings(size=192, steps=1500, batch=32, warmup=100, clip=5.0)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def detector(
    roots: Annotated[list[Path], typer.Argument(help="Photographs: folders, uncompressed tars, text files of paths.")],
    output: RunFolder,
    scenes: Annotated[int, typer.Option(min=1, help="Pictures with pasted photographs to make and train on.")] = 10_000,
    scene_folder: Annotated[
        Path | None, typer.Option("--scenes-in", help="Where they are kept, which runs may share. [default: in -o]")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is there.")] = False,
    size: Annotated[int, typer.Option(min=64, max=512, help="Side of the input, pixels; a multiple of 32.")] = _D.size,
    weights: Annotated[str, typer.Option(help="Of the trunk: imagenet, none, or a file.")] = _D.weights,
    steps: Annotated[int, typer.Option(min=1)] = _D.steps,
    batch: Annotated[int, typer.Option(min=2, help="Scenes a step.")] = _D.batch,
    learning_rate: Annotated[float, typer.Option(min=0)] = _D.learning_rate,
    warmup: Annotated[int, typer.Option(min=0, help="Steps.")] = _D.warmup,
    hold_back: Annotated[float, typer.Option(min=0, max=0.5, help="Share of the photographs to measure on.")] = 0.1,
    checkpoint_every: Annotated[int, typer.Option(min=0, help="Steps; 0: at the end only.")] = _D.checkpoint_every,
    seed: Annotated[int, typer.Option(min=0)] = _D.seed,
    as_json: AsJson = False,
) -> None:
    """Train a detector of pasted photographs on scenes that are made of photographs."""
    options = {key: value for key, value in locals().items() if key in Settings.__dataclass_fields__}
    from ..detector.run import detector_settings, train

    if size % 32:
        raise typer.BadParameter(f"{size} is no multiple of 32", param_hint="--size")
    started = time.perf_counter()
    settings = detector_settings(**options, clip=_D.clip)
    quality = train(roots, output, settings, scenes, _say, scenes=scene_folder, resume=resume)
    result = {"run": str(output), "seconds": round(time.perf_counter() - started, 1), "quality": quality}
    found = quality["int8"]
    text = (
        f"{output}: made in {result['seconds']} s; on photographs held back precision {found['precision']:.3f}, "
        f"recall {found['recall']:.3f}, average precision {found['average_precision']:.3f}"
    )
    print(json.dumps(result) if as_json else text)


def add_detector(
    bundle: Annotated[Path, typer.Argument(help="A bundle; it is replaced when all is done.", parser=path)],
    run: Annotated[Path, typer.Argument(help="Folder of a finished run of train detector.", parser=path)],
    as_json: AsJson = False,
) -> None:
    """Put a trained detector into a bundle; the bundle's descriptors stay what they are."""
    from ..detector.finish import add_detector as add

    add(Bundle(bundle), run)
    space = Bundle(bundle).space
    print(json.dumps({"bundle": str(bundle), "space": space}) if as_json else f"{bundle}: has the detector of {run}")
