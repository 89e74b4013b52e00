"""``train detector`` and ``train add-detector``: the network that finds pasted photographs."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from copytrace.engine import Bundle, CopytraceError
from copytrace.engine.cli.options import path

from ..detector.settings import OPTIONS, DetectorSettings
from .generated import with_options_of

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
RunFolder = Annotated[
    Path, typer.Option("-o", "--output", help="A new folder for scenes, checkpoint, log and network.", parser=path)
]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@with_options_of(DetectorSettings, *OPTIONS)
def detector(
    roots: Annotated[list[Path], typer.Argument(help="Photographs: folders, uncompressed tars, text files of paths.")],
    output: RunFolder,
    scenes: Annotated[int, typer.Option(min=1, help="Pictures with pasted photographs to make and train on.")] = 10_000,
    scene_folder: Annotated[
        Path | None, typer.Option("--scenes-in", help="Where they are kept, which runs may share. [default: in -o]")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is there.")] = False,
    *,
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Train a detector of pasted photographs on scenes that are made of photographs."""
    try:
        DetectorSettings(**options).check()
    except CopytraceError as error:
        raise typer.BadParameter(str(error)) from None
    from ..detector.run import detector_settings, train

    started = time.perf_counter()
    settings = detector_settings(**options)
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
