"""Drip training: begin with few classes; whenever the loss is low, double them and rebuild every centre of the ArcFace head.

Source: the descriptor system of ISC2021's second place, section 2.5.1.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

THRESHOLD = 1.0
CENTRE_VIEWS = 5
"""Embeddings averaged to a centre: the photograph itself and four attacked views."""


@dataclass
class Drip:
    """How many classes take part, and when there will be more.

    start: classes in the beginning; total: all there are. The loss looked at is the mean of the last ``window`` steps.
    stages: numbers of classes to go through instead of doubling.
    """

    start: int
    total: int
    threshold: float = THRESHOLD
    window: int = 50
    stages: tuple[int, ...] = ()
    classes: int = field(init=False)
    _losses: list[float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.classes = min(self.start, self.total)

    def observe(self, loss: float) -> bool:
        """Take in a step's loss; True when there have just become more classes."""
        self._losses = [*self._losses, loss][-self.window :]
        if self.classes == self.total or len(self._losses) < self.window or self.mean_loss >= self.threshold:
            return False
        larger = [stage for stage in self.stages if stage > self.classes]
        self.classes = min((self.total, *larger)) if self.stages else min(2 * self.classes, self.total)
        self._losses = []
        return True

    @property
    def mean_loss(self) -> float:
        return sum(self._losses) / len(self._losses) if self._losses else float("inf")

    def state_dict(self) -> dict[str, object]:
        return {"classes": self.classes, "losses": list(self._losses)}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.classes, self._losses = state["classes"], list(state["losses"])


def centre(embeddings: Tensor) -> Tensor:
    """Unit embeddings [C, 5, D], one clean and four attacked of every class -> centres [C, D] of unit length."""
    return functional.normalize(embeddings.mean(dim=1), dim=1)


@torch.no_grad()
def rebuild_centres(embed_views: Callable[[list[int]], Tensor], classes: int, at_once: int = 64) -> Tensor:
    """Centres [classes, D] of all classes, old and new, from the network as it is now.

    embed_views: classes -> their five unit embeddings [C, 5, D].
    """
    parts = [list(range(first, min(first + at_once, classes))) for first in range(0, classes, at_once)]
    return torch.cat([centre(embed_views(part)) for part in parts])
