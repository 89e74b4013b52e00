"""Training the whole network, on pictures attacked anew for every step or on labelled pairs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ..data.batches import PixelBatches, in_batches
from ..data.labelled_pairs import LabelledPairs, PairBatches
from ..data.photographs import Photographs
from ..data.progressive import Progressive
from ..data.validation import ValidationSet
from ..data.views import photograph_views
from ..models.network import DescriptorNetwork
from ..objectives.build import build_objective
from ..settings import Settings
from .drip import CENTRE_VIEWS
from .processes import rank_and_world
from .run_log import Say
from .start import start_head, trunk_features
from .task import Task, classes_of


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
