"""Training the head alone, on features of a frozen trunk that are computed once."""

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from copytrace.engine import ResumeError, StoreError
from copytrace.engine.infer import OrtNetwork
from copytrace.engine.store.atomic import reason, replacing
from copytrace.export.onnx import export_onnx

from ..data.batches import FeatureBatches
from ..data.features import cached_features, run_network
from ..data.photographs import Photographs
from ..data.validation import ValidationSet
from ..models.network import DescriptorNetwork
from ..objectives.build import build_objective
from ..settings import Settings
from .drip import CENTRE_VIEWS
from .processes import rank_and_world
from .run_log import Say
from .start import start_head
from .task import Task, classes_of


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
