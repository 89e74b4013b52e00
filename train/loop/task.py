"""What a run trains."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.utils.data import Dataset

from ..data.photographs import Photographs
from ..objectives.objective import Objective
from ..settings import Settings


@dataclass
class Task:
    """What is trained, on what, and how it is judged.

    make_batches: number of classes -> dataset of steps. embed_views: classes -> their five unit embeddings [C, 5, D].
    validate: the network's micro-AP, or None where there is nothing to validate on.
    """

    objective: Objective
    classes: int
    make_batches: Callable[[int], Dataset]
    embed_views: Callable[[list[int]], Tensor]
    validate: Callable[[], float] | None


def classes_of(settings: Settings, photos: Photographs) -> int:
    """How many of the photographs are trained on."""
    return min(len(photos), settings.classes or len(photos))
