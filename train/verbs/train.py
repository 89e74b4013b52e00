"""The verb ``train`` and those under it. torch is imported when one of them runs."""

import json
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from copytrace.engine import Bundle
from copytrace.engine.cli.run_by_default import RunByDefault

from ..presets import PRESETS, with_preset
from ..settings import TAPS, Settings
from .detector import add_detector, detector
from .generated import with_options_of

_PRESETS = f"Presets: {', '.join(PRESETS)}."

app = typer.Typer(
    cls=RunByDefault,
    epilog=_PRESETS,
    no_args_is_help=True,
    help="Train a model on photographs (train PHOTOS -o RUN; options: train run --help), or fit parts of a bundle.",
)

Roots = Annotated[list[Path], typer.Argument(help="Photographs: folders, uncompressed tars, text files of paths.")]
Validation = Annotated[
    Path | None, typer.Option(help="A folder with references/, queries/ and truth.csv, to validate and tune on.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Preset = StrEnum("Preset", [(name, name) for name in PRESETS])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _finish(output: Path, quality: dict[str, Any], started: float, as_json: bool) -> None:
    result = {"bundle": str(output), "seconds": round(time.perf_counter() - started, 1), "quality": quality}
    tried = quality.get("validation", {})
    best = (
        f"; validation micro-AP {tried['projected']:.4f} projected, {max(tried.values()):.4f} normalised"
        if tried
        else ""
    )
    print(json.dumps(result) if as_json else f"{output}: made in {result['seconds']} s{best}")


@app.command(epilog=_PRESETS)
@with_options_of(Settings)
def run(
    context: typer.Context,
    roots: Roots,
    output: Annotated[Path, typer.Option("-o", "--output", help="A new folder for checkpoint, logs and bundle.")],
    validation: Validation = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is there.")] = False,
    features: Annotated[
        Path | None, typer.Option(help="Frozen: a folder for the features, which runs may share.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make batches; 0: none but this one.")] = 0,
    whitened: Annotated[
        bool | None,
        typer.Option("--whitened/--not-whitened", help="Projection: whitened PCA, or none. [default: by objective]"),
    ] = None,
    preset: Annotated[
        Preset | None,
        typer.Option(metavar="NAME", help="A published system's settings (names below); other options override them."),
    ] = None,
    *,
    options: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Train a model on photographs and make a bundle of it."""
    import torch

    from ..loop.processes import rank_and_world
    from ..models.build import fast_step_fits
    from ..run import BUNDLE
    from ..run import run as train

    started = time.perf_counter()
    if preset:
        options = with_preset(preset.value, options, _given(context))
    if options["taps"] is None:
        options["taps"] = () if options["last_blocks"] else TAPS.get(options["backbone"], ())
    if options["frozen"] is None:
        options["frozen"] = rank_and_world()[1] == 1 and not torch.cuda.is_available()
    if options["attacks"] is None:
        options["attacks"] = "isc2021" if options["frozen"] else "both"
    if options["folded"] is None:
        options["folded"] = fast_step_fits(Settings(**options | {"folded": False}))
    settings = Settings(**options)
    how = {"validation": validation, "whitened": whitened, "features": features, "resume": resume, "workers": workers}
    quality = train(roots, output, settings, _say, **how)
    if quality:
        _finish(output / BUNDLE, quality, started, as_json)


def _given(context: typer.Context) -> set[str]:
    """Names of the options that stand on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name != "DEFAULT"}


@app.command()
def combine(
    members: Annotated[list[Path], typer.Argument(help="Bundles, or folders of runs.")],
    photos: Annotated[list[Path], typer.Option(help="Photographs for projection and bank.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The bundle.")],
    validation: Validation = None,
    photographs: Annotated[int, typer.Option(min=2, help="From which the projection is learnt.")] = 4000,
    views: Annotated[int, typer.Option(min=2, help="Of each of them, the first without attacks.")] = 6,
    steps: Annotated[int, typer.Option(min=0, help="Of InfoNCE after the closed form.")] = 300,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """Make one bundle of several: each network looks at its own size, and a projection of all embeddings is learnt."""
    from ..bundles.refit import combine as combine_bundles
    from ..run import bundle_of

    started = time.perf_counter()
    bundles = [bundle_of(path) for path in members]
    how = {"photographs": photographs, "views": views, "steps": steps, "seed": seed}
    _finish(output, combine_bundles(bundles, photos, output, validation, **how), started, as_json)


BundleArgument = Annotated[Path, typer.Argument(help="A bundle; it is replaced when all is done.")]


@app.command()
def fit_projection(
    bundle: BundleArgument,
    roots: Roots,
    dimension: Annotated[int, typer.Option(min=1, max=256, help="Of the descriptors.")] = 256,
    whitened: Annotated[bool, typer.Option("--whitened/--not-whitened", help="A whitened PCA, or none.")] = True,
    bank_rows: Annotated[int, typer.Option(min=1, help="The bank is fitted with it.")] = 4000,
    as_json: AsJson = False,
) -> None:
    """Fit a bundle's projection, and the bank that depends on it, on un-attacked photographs."""
    from ..bundles.refit import fit_projection as fit

    started = time.perf_counter()
    fit(Bundle(bundle), roots, dimension, whitened, bank_rows)
    _finish(bundle, {}, started, as_json)


@app.command()
def fit_bank(
    bundle: BundleArgument,
    roots: Roots,
    rows: Annotated[int, typer.Option(min=1, help="At most, spread evenly over the photographs.")] = 4000,
    as_json: AsJson = False,
) -> None:
    """Fill a bundle's bank with descriptors of un-attacked photographs."""
    from ..bundles.refit import fit_bank as fit

    started = time.perf_counter()
    fit(Bundle(bundle), roots, rows)
    _finish(bundle, {}, started, as_json)


@app.command()
def tune(
    bundle: BundleArgument,
    validation: Annotated[Path, typer.Argument(help="A folder with references/, queries/ and truth.csv.")],
    as_json: AsJson = False,
) -> None:
    """Choose a bundle's normalisation (method, beta, cosines; alpha and n of scores) on a validation pair."""
    from ..bundles.refit import tune_bundle

    started = time.perf_counter()
    _finish(bundle, {"validation": tune_bundle(Bundle(bundle), validation)}, started, as_json)


app.command()(detector)
app.command()(add_detector)
