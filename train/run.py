"""A whole training run: photographs in, a folder with checkpoint, logs and a bundle out."""

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from copytrace.engine import Bundle, BundleError, CopytraceError, SourceError
from copytrace.engine.manifest import Precision
from copytrace.engine.read import describe_ignored

from .bundles.finish import DIMENSION, make_bundle
from .data.photographs import Photographs
from .data.validation import ValidationSet, folder_pair, held_back
from .loop.checkpoint import CHECKPOINT
from .loop.frozen import frozen_task
from .loop.processes import rank_and_world
from .loop.run_folder import RUN, claim
from .loop.run_log import RunLog, Say, save_batch_picture
from .loop.trained import begin_with, continuing, trained_network
from .loop.trainer import Trainer
from .loop.whole import whole_task
from .models.build import build_network, exportable
from .models.network import DescriptorNetwork
from .settings import Settings

MOST_HELD_BACK = 4000
BUNDLE, FEATURES = "bundle", "features"


def collect(
    roots: Sequence[Path], settings: Settings, validation: Path | None
) -> tuple[Photographs, ValidationSet | None]:
    """Photographs to train on and what to validate on: a folder pair, or some of the photographs, held back.

    Raises: SourceError.
    """
    photos = Photographs(roots, settings.seed)
    if validation is not None:
        return photos, folder_pair(validation)
    count = min(MOST_HELD_BACK, round(settings.hold_back * len(photos)))
    if count < 4:
        return photos, None
    photos, held = photos.split(count)
    return photos, held_back(held, settings.seed)


def run(
    roots: Sequence[Path],
    folder: Path,
    settings: Settings,
    say: Say,
    *,
    validation: Path | None = None,
    whitened: bool | None = None,
    features: Path | None = None,
    resume: bool = False,
    workers: int = 0,
) -> dict[str, Any]:
    """Train on ``roots`` into ``folder``: ``checkpoint.pt``, ``log.csv``, ``tensorboard/``, ``batch.png`` and ``bundle/``.

    validation: a folder pair with truth; without it, photographs are held back. whitened: whether the projection is a
    whitened PCA (default: for ArcFace and for bare features; embeddings that the entropy term has spread out need none).
    features: where a frozen trunk's features are kept (default: in ``folder``). workers: processes that make batches; 0: this
    one.
    Returns: the bundle's measured figures. Raises: SourceError, StoreError, ResumeError, CopytraceError.
    """
    rank, world = rank_and_world()
    settings = continuing(settings)
    settings.check(world)
    photos, held = collect(roots, settings, validation)
    if len(photos) < 2:
        raise SourceError("training needs two photographs or more")
    if photos.ignored and rank == 0:
        say(describe_ignored(photos.ignored))
    whiten = choose_projection(settings, len(photos), whitened, say)
    network = build_network(settings, load=not settings.initial)
    if settings.initial:
        begin_with(network, Path(settings.initial))
    if rank == 0:
        claim(folder, settings, photos, resume)
    if settings.dimension:
        train(network, settings, photos, held, folder, features or folder / FEATURES, workers, say)
    if rank > 0:
        return {}
    say("making the bundle")
    return make_bundle(
        exportable(network),
        settings.size,
        photos,
        folder / BUNDLE,
        name=folder.resolve().name,
        whitened=whiten,
        origin=origin(settings, roots, len(photos)),
        validation=held,
    )


def export_run(
    folder: Path,
    roots: Sequence[Path],
    target: Path,
    precisions: Collection[Precision],
    say: Say,
    *,
    validation: Path | None = None,
    whitened: bool | None = None,
) -> dict[str, Any]:
    """What a run ends with, made again of its last checkpoint: given the run's photographs, the same bundle, in the precisions
    that are wanted (float32 always).

    Returns: the bundle's measured figures. Raises: CopytraceError where there is no checkpoint; SourceError, StoreError.
    """
    network, settings = trained_network(folder)
    photos, held = collect(roots, settings, validation)
    if photos.ignored:
        say(describe_ignored(photos.ignored))
    return make_bundle(
        network,
        settings.size,
        photos,
        target,
        name=folder.resolve().name,
        whitened=choose_projection(settings, len(photos), whitened, say),
        origin=origin(settings, roots, len(photos)),
        validation=held,
        precisions=precisions,
    )


def choose_projection(settings: Settings, photographs: int, wanted: bool | None, say: Say) -> bool:
    """Whether the projection will be a whitened PCA; see :func:`run`.

    Raises: CopytraceError when it has to be, and the photographs are too few.
    """
    width = settings.dimension or DIMENSION
    enough = photographs > width
    if (wanted or settings.dimension == 0) and not enough:
        need = f"a whitened PCA of {width} dimensions needs more than {width} photographs"
        raise CopytraceError(f"{need}; {photographs} are there")
    if wanted is None and settings.dimension and settings.objective == "arcface" and not enough:
        say(f"no whitened PCA: {width} dimensions would need more than {width} photographs")
        return False
    if wanted is None:
        return settings.dimension == 0 or settings.objective == "arcface"
    return wanted


def train(
    network: DescriptorNetwork,
    settings: Settings,
    photos: Photographs,
    held: ValidationSet | None,
    folder: Path,
    features: Path,
    workers: int,
    say: Say,
) -> None:
    """Train a network in place; goes on from a checkpoint that is there."""
    first = rank_and_world()[0] == 0
    if settings.frozen:
        task = frozen_task(network, settings, photos, held, features, say)
    else:
        task = whole_task(network, settings, photos, held, say, begun=(folder / CHECKPOINT).exists())
        if first:
            pixels, _ = task.make_batches(task.classes)[0]
            save_batch_picture(folder / "batch.png", pixels, task.objective.views)
    trainer = Trainer(task, folder, settings, workers)
    with RunLog(folder, trainer.step, settings.steps, say) if first else nullcontext() as log:
        trainer.run(log)


def bundle_of(folder: Path) -> Bundle:
    """The bundle in a finished run's folder, or the folder's own.

    Raises: BundleError, for what is neither a finished run nor a bundle.
    """
    if (folder / BUNDLE).is_dir():
        return Bundle(folder / BUNDLE)
    if (folder / RUN).exists():
        raise BundleError(f"{folder}: a run that has no bundle yet; `copytrace train run --resume` finishes it")
    return Bundle(folder)


def origin(settings: Settings, roots: Sequence[Path], photographs: int) -> dict[str, Any]:
    """Where a bundle's weights come from: of files and folders the names alone, for a bundle goes to other machines."""
    names = {name: Path(getattr(settings, name)).name for name in ("weights", "initial", "pairs")}
    return {
        "made_by": "copytrace train",
        "settings": settings.to_dict() | names,
        "photographs": f"{photographs} of {', '.join(root.name for root in roots)}",
    }
