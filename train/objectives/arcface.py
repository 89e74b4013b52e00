"""The ArcFace head: one class per training image, told apart by the angle to the class's centre.

Memory. The full head keeps centres, their gradients and Adam's two moments in float32: 16 bytes a number, so 1.8 million
classes of 256 dimensions need 7.4 GB, and every step holds three matrices [batch, classes] (logits, probabilities, gradient):
2.8 GB at a batch of 128. :func:`memory_bytes` computes it. The sampled head (partial FC) compares with the batch's own
classes and a random share of the others: the three matrices and the gradients shrink to that share, 6.0 GB in all at a tenth.

Sources: the descriptor system of ISC2021's second place, section 2.2; ArcFace (Deng et al. 2019); Partial FC (An et al. 2022).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .objective import Objective

MARGIN, SCALE = 0.4, 40.0


def arcface_logits(cosines: Tensor, targets: Tensor, margin: float = MARGIN, scale: float = SCALE) -> Tensor:
    """Cosines [N, C] and each row's true column [N] -> logits [N, C]: ``scale * cos``, and ``scale * cos(angle + margin)`` at
    the true column. Where angle + margin exceeds pi, its continuation ``cos - margin * sin(margin)`` keeps the logit falling.
    """
    true = cosines.gather(1, targets[:, None])
    sine = (1.0 - true * true).clamp(min=1e-7).sqrt()
    moved = true * math.cos(margin) - sine * math.sin(margin)
    moved = torch.where(true > -math.cos(margin), moved, true - margin * math.sin(margin))
    return scale * cosines.scatter(1, targets[:, None], moved)


class ArcFace(nn.Module):
    """Unit embeddings [N, D] and classes int64 [N] -> mean cross entropy.

    classes: C; centres [C, D] are learnt, compared by their direction. share: of the classes to compare with at each step,
    below 1 the sampled form, whose gradients are sparse (use ``torch.optim.SparseAdam``).
    """

    def __init__(
        self, classes: int, dimension: int, margin: float = MARGIN, scale: float = SCALE, share: float = 1.0
    ) -> None:
        super().__init__()
        self.dimension, self.margin, self.scale, self.share = dimension, margin, scale, share
        self.set_classes(classes)

    @property
    def classes(self) -> int:
        return len(self.centres)

    def set_classes(self, classes: int, centres: Tensor | None = None) -> None:
        """Replace the centres by these [classes, D], or by random ones; optimisers must be made anew."""
        if centres is None:
            centres = functional.normalize(torch.randn(classes, self.dimension), dim=1)
        self.centres = nn.Parameter(centres)

    def forward(self, embeddings: Tensor, classes: Tensor) -> Tensor:
        centres, targets = self.centres, classes
        if self.share < 1.0:
            chosen, targets = self._sample(classes)
            centres = functional.embedding(chosen, self.centres, sparse=True)
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = embeddings.float() @ functional.normalize(centres, dim=1).T
            return functional.cross_entropy(arcface_logits(cosines, targets, self.margin, self.scale), targets)

    def _sample(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Classes to compare with, sorted, and the places of the batch's own among them."""
        wanted = math.ceil(self.share * len(self.centres))
        own, targets = torch.unique(classes, return_inverse=True)
        others = torch.ones(len(self.centres), dtype=torch.bool, device=classes.device)
        others[own] = False
        others = others.nonzero().squeeze(1)
        order = torch.randperm(len(others), device=classes.device)[: max(0, wanted - len(own))]
        return torch.cat([own, others[order]]), targets


class ArcFaceObjective(Objective):
    """Which of the training photographs is it? One class per photograph."""

    def __init__(self, network: nn.Module, arcface: ArcFace) -> None:
        super().__init__(network)
        self.arcface = arcface

    def forward(self, inputs: Tensor, classes: Tensor) -> Tensor:
        return self.arcface(self.network(inputs), classes)

    def set_classes(self, classes: int, centres: Tensor | None = None) -> None:
        self.arcface.set_classes(classes, centres)

    def sparse_parameters(self) -> list[nn.Parameter]:
        return [self.arcface.centres] if self.arcface.share < 1.0 else []


def memory_bytes(classes: int, dimension: int, batch: int, share: float = 1.0) -> int:
    """Bytes that an ArcFace head, its gradients, Adam's moments and the step's matrices take in float32."""
    compared = min(classes, math.ceil(share * classes) + batch)
    kept = 3 * classes * dimension  # centres and two moments
    step = compared * dimension + 3 * batch * compared
    return 4 * (kept + step)
