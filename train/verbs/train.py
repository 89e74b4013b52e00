"""The verb ``train`` and those under it. torch is imported when one of them runs."""

import json
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from copytrace.engine import Bundle

from ..presets import PRESETS, with_preset
from ..settings import TAPS, Amp, AttackSet, Objective, Pooling, Schedule, Settings, Start
from .detector import add_detector, detector


class _RunByDefault(TyperGroup):
    """``train PHOTOS -o RUN`` is ``train run PHOTOS -o RUN``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Train a model on photographs (train PHOTOS -o RUN; options: train run --help), or fit parts of a bundle.",
)

Roots = Annotated[list[Path], typer.Argument(help="Photographs: folders, uncompressed tars, text files of paths.")]
Validation = Annotated[
    Path | None, typer.Option(help="A folder with references/, queries/ and truth.csv, to validate and tune on.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Preset = StrEnum("Preset", [(name, name) for name in PRESETS])
_D = Settings()


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


@app.command()
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
        Preset | None, typer.Option(help="A published system's settings; options given beside it override them.")
    ] = None,
    backbone: Annotated[str, typer.Option(help="Any of timm's.")] = _D.backbone,
    weights: Annotated[
        str, typer.Option(help="imagenet, none, or a file: a state dict, or a checkpoint of DINO's or EsViT's.")
    ] = _D.weights,
    initial: Annotated[
        str, typer.Option(help="Whole: folder of a run whose network training begins with, instead of --weights.")
    ] = _D.initial,
    taps: Annotated[
        str | None,
        typer.Option(help='Modules whose outputs are pooled, with commas; "": the last map. [default: by backbone]'),
    ] = None,
    last_blocks: Annotated[
        int, typer.Option(min=0, help="Pool this many of the backbone's last blocks, instead of --taps.")
    ] = _D.last_blocks,
    pooling: Annotated[Pooling, typer.Option(help="Of each map.")] = _D.pooling,
    power: Annotated[float, typer.Option(min=1, help="Of GeM pooling, learnt unless frozen.")] = _D.power,
    cell: Annotated[int, typer.Option(min=1, help="Pool the maxima of cells of this side.")] = _D.cell,
    size: Annotated[int, typer.Option(min=32, help="Side of the input, pixels.")] = _D.size,
    dimension: Annotated[
        int, typer.Option(min=0, help="Of the embeddings; 0: the pooled features, no head.")
    ] = _D.dimension,
    frozen: Annotated[
        bool | None,
        typer.Option(
            "--frozen/--whole", help="A head on features computed once, or all. [default: frozen without a GPU]"
        ),
    ] = None,
    views: Annotated[
        int, typer.Option(min=1, help="Frozen, or for whitening: views of every photograph, the first without attacks.")
    ] = _D.views,
    start: Annotated[Start, typer.Option(help="Where the head begins.")] = _D.start,
    start_photographs: Annotated[
        int, typer.Option(min=2, help="Whole: photographs from which whitening is learnt.")
    ] = _D.start_photographs,
    folded: Annotated[
        bool | None,
        typer.Option(
            "--folded/--plain", help="Whole: the fast step for CPUs. [default: where processor and network allow it]"
        ),
    ] = None,
    objective: Annotated[Objective, typer.Option(help="What is learnt.")] = _D.objective,
    temperature: Annotated[float, typer.Option(help="Of InfoNCE.")] = _D.temperature,
    entropy: Annotated[float, typer.Option(help="Weight of the entropy term.")] = _D.entropy,
    mixed: Annotated[
        float, typer.Option(min=0, max=1, help="InfoNCE: share of rows that mix two photographs.")
    ] = _D.mixed,
    memory: Annotated[
        int, typer.Option(min=0, help="Triplet: rows of earlier steps to compare with (XBM); 0: none.")
    ] = _D.memory,
    pairs: Annotated[
        str,
        typer.Option(help="Whole: a folder with references/, queries/ and truth.csv to train on as they are."),
    ] = _D.pairs,
    margin: Annotated[float, typer.Option(help="Of ArcFace, radians; of triplets, Euclidean distance.")] = _D.margin,
    scale: Annotated[float, typer.Option(help="Of ArcFace.")] = _D.scale,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="ArcFace: share of classes compared with at a step.")
    ] = _D.share,
    classes: Annotated[int, typer.Option(min=0, help="Photographs trained on, at most; 0: all.")] = _D.classes,
    drip_start: Annotated[int, typer.Option(min=0, help="ArcFace: classes in the beginning; 0: all.")] = _D.drip_start,
    drip_steps: Annotated[
        str, typer.Option(help="ArcFace: classes at every step but the last, with commas, instead of doubling.")
    ] = "",
    drip_threshold: Annotated[float, typer.Option(help="Loss below which there are more classes.")] = _D.drip_threshold,
    steps: Annotated[int, typer.Option(min=0, help="0: no training.")] = _D.steps,
    batch: Annotated[int, typer.Option(min=1, help="Photographs a step, over all processes.")] = _D.batch,
    learning_rate: Annotated[float, typer.Option(min=0)] = _D.learning_rate,
    schedule: Annotated[Schedule, typer.Option(help="Of the learning rate.")] = _D.schedule,
    warmup: Annotated[int, typer.Option(min=0, help="Steps, for cosine.")] = _D.warmup,
    clip: Annotated[float, typer.Option(min=0, help="Largest norm of the gradient; 0: any.")] = _D.clip,
    beta2: Annotated[float, typer.Option(min=0, max=1, help="Of Adam.")] = _D.beta2,
    weight_decay: Annotated[float, typer.Option(min=0, help="Of AdamW.")] = _D.weight_decay,
    average: Annotated[
        float, typer.Option(min=0, max=1, help="Share that the weights' moving average keeps at a step; 0: no average.")
    ] = _D.average,
    clean: Annotated[
        float, typer.Option(min=0, max=1, help="Share of photographs whose first view is not attacked.")
    ] = _D.clean,
    amp: Annotated[Amp, typer.Option(help="Mixed precision.")] = _D.amp,
    attacks: Annotated[
        AttackSet | None,
        typer.Option(help="Edits of the views. [default: both, or isc2021 for a head on frozen features]"),
    ] = None,
    first_size: Annotated[
        int | None, typer.Option(help="Side of the input in the beginning. [default: --size]")
    ] = None,
    first_intensity: Annotated[
        float, typer.Option(min=0, max=1, help="Of attacks in the beginning.")
    ] = _D.first_intensity,
    hold_back: Annotated[float, typer.Option(min=0, max=0.5, help="Share kept for validation.")] = _D.hold_back,
    validate_every: Annotated[int, typer.Option(min=0, help="Steps; 0: at the end only.")] = _D.validate_every,
    checkpoint_every: Annotated[int, typer.Option(min=0, help="Steps; 0: at the end only.")] = _D.checkpoint_every,
    seed: Annotated[int, typer.Option(min=0)] = _D.seed,
    as_json: AsJson = False,
) -> None:
    """Train a model on photographs and make a bundle of it."""
    options = {key: value for key, value in locals().items() if key in Settings.__dataclass_fields__}
    from ..processes import has_gpu, rank_and_world
    from ..recipe import fast_step_fits
    from ..run import BUNDLE
    from ..run import run as train

    started = time.perf_counter()
    options["taps"] = None if taps is None else tuple(name for name in taps.split(",") if name)
    options["drip_steps"] = _numbers(drip_steps, "--drip-steps")
    if preset:
        options = with_preset(preset.value, options, _given(context))
    if options["taps"] is None:
        options["taps"] = () if options["last_blocks"] else TAPS.get(options["backbone"], ())
    if options["frozen"] is None:
        options["frozen"] = rank_and_world()[1] == 1 and not has_gpu()
    if options["attacks"] is None:
        options["attacks"] = "isc2021" if options["frozen"] else "both"
    if folded is None:
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


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(",") if number)
    except ValueError:
        raise typer.BadParameter("numbers with commas", param_hint=option) from None


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
    from ..refit import combine as combine_bundles
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
    from ..refit import fit_projection as fit

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
    from ..refit import fit_bank as fit

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
    from ..refit import tune_bundle

    started = time.perf_counter()
    _finish(bundle, {"validation": tune_bundle(Bundle(bundle), validation)}, started, as_json)


app.command()(detector)
app.command()(add_detector)
