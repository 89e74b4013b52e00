"""A run from settings and photographs: the network, trained whole or by its head on frozen features."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from copytrace.engine import CopytraceError, ResumeError, StoreError
from copytrace.engine.infer import OrtNetwork
from copytrace.engine.store.atomic import reason, replacing
from copytrace.export.onnx import export_onnx

from .data.batches import FeatureBatches, PixelBatches, in_batches
from .data.features import LARGEST, cached_features, run_network
from .data.labelled_pairs import LabelledPairs, PairBatches
from .data.photographs import Photographs, spread
from .data.progressive import Progressive
from .data.validation import ValidationSet
from .data.views import photograph_views
from .drip import CENTRE_VIEWS
from .loop import Task
from .models.network import DescriptorNetwork, Head
from .models.projection import learned_whitening
from .objectives.build import build_objective
from .processes import rank_and_world
from .settings import Settings

Say = Callable[[str], None]


def whole_task(
    network: DescriptorNetwork,
    settings: Settings,
    photos: Photographs,
    validation: ValidationSet | None,
    say: Say,
    begun: bool = False,
) -> Task:
    """Train everything, on pictures attacked anew for every step.

    begun: a checkpoint will replace what the head starts with.
    """
    if settings.start == "whitening" and not begun:
        say(f"learning a whitening from {min(settings.start_photographs, len(photos))} photographs")
        start_head(network.head, trunk_features(network.trunk, photos, settings), settings)
    objective = build_objective(network, settings)
    progressive = Progressive(settings.size, first_size=settings.first_size, first_intensity=settings.first_intensity)
    labelled = LabelledPairs(Path(settings.pairs)) if settings.pairs else None

    def batches(classes: int) -> Dataset:
        if labelled:
            return PairBatches(
                labelled, settings.size, settings.steps, settings.batch, settings.seed, *rank_and_world()
            )
        every = (settings.steps, settings.batch, objective.views, settings.seed, classes, *rank_and_world())
        return PixelBatches(photos, progressive, *every, clean=settings.clean, attacks=settings.attacks)

    @torch.inference_mode()
    def embed(pictures: Iterator[NDArray[np.uint8]]) -> NDArray[np.float32]:
        network.eval()
        device = next(network.parameters()).device
        parts = [
            network(torch.from_numpy(np.stack(part)).to(device)).float().cpu() for part in in_batches(pictures, 32)
        ]
        return torch.cat(parts).numpy()

    def views(classes: list[int]) -> Tensor:
        seed = settings.seed + 1
        made = (
            photograph_views(photos, place, CENTRE_VIEWS, settings.size, seed, settings.attacks) for place in classes
        )
        rows = embed(picture for pictures in made for picture in pictures)
        return torch.from_numpy(rows).reshape(len(classes), CENTRE_VIEWS, -1)

    validate = (lambda: validation.evaluate(embed, settings.size).micro_ap) if validation else None
    return Task(objective, classes_of(settings, photos), batches, views, validate)


def classes_of(settings: Settings, photos: Photographs) -> int:
    """How many of the photographs are trained on."""
    return min(len(photos), settings.classes or len(photos))


@torch.inference_mode()
def trunk_features(trunk: nn.Module, photos: Photographs, settings: Settings) -> NDArray[np.float16]:
    """Pooled features [photographs, views, F] of a trunk as it is, for some photographs; the clean view first."""
    trunk.eval()
    rows = []
    for place in spread(len(photos), settings.start_photographs):
        size, attacks = settings.first_size or settings.size, settings.attacks
        views = photograph_views(photos, place, settings.views, size, settings.seed, attacks=attacks)
        rows.append(trunk(torch.from_numpy(views)).numpy().clip(-LARGEST, LARGEST).astype(np.float16))
    return np.stack(rows)


def frozen_task(
    network: DescriptorNetwork,
    settings: Settings,
    photos: Photographs,
    validation: ValidationSet | None,
    folder: Path,
    say: Say,
) -> Task:
    """Train the head alone, on features of the trunk that are computed once and kept in ``folder``, which runs may share."""
    head, onnx = network.head, folder / "trunk.onnx"
    claim_features(folder, settings, photos)
    if not onnx.exists():
        with replacing(onnx) as temporary:
            export_onnx(DescriptorNetwork(network.trunk).eval(), settings.size, temporary)
    every = max(1, len(photos) // 10)
    features = cached_features(
        folder / "features.npy",
        onnx,
        photos,
        settings.views,
        settings.size,
        settings.seed,
        settings.attacks,
        lambda done, total: say(f"features of {done}/{total} photographs") if done % every == 0 else None,
    )
    start_head(head, features, settings)
    objective = build_objective(head, settings)

    def batches(classes: int) -> FeatureBatches:
        every = (settings.steps, settings.batch, objective.views, settings.seed, classes, *rank_and_world())
        return FeatureBatches(features, *every)

    @torch.inference_mode()
    def embed(rows: NDArray[np.floating]) -> Tensor:
        head.eval()
        return head(torch.from_numpy(rows.astype(np.float32)).to(head.mean.device)).cpu()

    def views(classes: list[int]) -> Tensor:
        return embed(features[classes, :CENTRE_VIEWS].reshape(-1, features.shape[2])).reshape(
            len(classes), CENTRE_VIEWS, -1
        )

    if validation is None:
        return Task(objective, classes_of(settings, photos), batches, views, None)
    trunk = OrtNetwork(onnx, batch=8)
    queries, references = (
        run_network(trunk, part(settings.size)) for part in (validation.queries, validation.references)
    )
    validate = lambda: validation.score(embed(queries).numpy(), embed(references).numpy()).micro_ap  # noqa: E731
    return Task(objective, classes_of(settings, photos), batches, views, validate)


def claim_features(folder: Path, settings: Settings, photos: Photographs) -> None:
    """Make the folder of a trunk's features, or see that it holds those of this trunk and these photographs.

    Raises: ResumeError when it holds others; StoreError when it cannot be made.
    """
    path = folder / "features.json"
    looks = ("backbone", "weights", "taps", "last_blocks", "pooling", "power", "cell", "size")
    names = (*looks, "views", "attacks", "hold_back", "seed")
    before = {"attacks": "isc2021", "last_blocks": 0, "pooling": "gem"}  # of features from before there was a choice
    mine = {name: settings.to_dict()[name] for name in names} | {
        "photographs": photos.fingerprint(),
        "count": len(photos),
    }
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be made: {reason(error)}") from error
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(mine, indent=2) + "\n", encoding="utf-8")
    elif (theirs := before | json.loads(path.read_text(encoding="utf-8"))) != mine:
        changed = [key for key in mine if mine[key] != theirs.get(key)]
        raise ResumeError(f"{folder}: holds features of others ({', '.join(changed)} differ); give another folder")


def start_head(head: Head, features: NDArray[np.float16], settings: Settings) -> None:
    """Standardise by the clean views; with "whitening", begin with the closed form.

    Raises: CopytraceError when there are too few photographs for it.
    """
    sample = features[:: max(1, len(features) // 20_000), 0].astype(np.float32)
    head.standardise(torch.from_numpy(sample))
    if settings.start == "whitening":
        try:
            mean, rows = learned_whitening(features, settings.dimension)
        except ValueError as error:
            raise CopytraceError(f"the head cannot start from whitening: {error}") from None
        with torch.no_grad():
            head.mean.copy_(torch.from_numpy(mean))
            head.linear.weight.copy_(torch.from_numpy(rows) * head.deviation)
