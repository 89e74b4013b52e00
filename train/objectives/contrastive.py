"""The contrastive objective: InfoNCE with an entropy term, and pictures mixed within the batch.

Source: the self-supervised descriptor for copy detection (SSCD, Pizzi et al. 2022), sections 3.2 to 3.4; the entropy term is
the nearest-neighbour estimate of Kozachenko and Leonenko (KoLeo).
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from .gathered import gathered
from .objective import Objective


class ContrastiveObjective(Objective):
    """Which other rows of the batch show the same photograph? InfoNCE and entropy; some rows may mix two photographs."""

    views = 2

    def __init__(
        self,
        network: nn.Module,
        *,
        temperature: float = 0.05,
        entropy: float = 1.0,
        mixed: float = 0.0,
        power: float = 3.0,
    ) -> None:
        super().__init__(network)
        self.temperature, self.entropy, self.mixed, self.power = temperature, entropy, mixed, power

    def forward(self, inputs: Tensor, classes: Tensor) -> Tensor:
        sources = torch.stack([classes, torch.full_like(classes, -1)], dim=1)
        if self.mixed:
            inputs, sources = mix(inputs, sources, self.mixed, self.power)
        embeddings = self.network(inputs).float()
        if dist.is_initialized():
            embeddings, sources = gathered(embeddings, sources)
        alike = same_picture(sources)
        return info_nce(embeddings, alike, self.temperature) + self.entropy * koleo(embeddings, alike)


def info_nce(embeddings: Tensor, alike: Tensor, temperature: float) -> Tensor:
    """Unit embeddings [N, D] and which of them show the same picture, bool [N, N] -> mean loss.

    Row by row, ``-log softmax(cosines / temperature)`` over all others, averaged over the row's positives; the diagonal is
    left out, and rows without a positive count nothing.
    """
    itself = torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    logits = (embeddings @ embeddings.T / temperature).masked_fill(itself, float("-inf"))
    positives = alike & ~itself
    surprise = -functional.log_softmax(logits, dim=1).masked_fill(~positives, 0.0)
    counts = positives.sum(dim=1)
    return (surprise.sum(dim=1) / counts.clamp(min=1))[counts > 0].mean()


def koleo(embeddings: Tensor, alike: Tensor) -> Tensor:
    """Minus the mean log distance of each unit embedding to the nearest one of another picture; small when they spread out."""
    cosines = (embeddings @ embeddings.T).masked_fill(
        alike | torch.eye(len(embeddings), dtype=torch.bool, device=alike.device), -1.0
    )
    nearest = cosines.max(dim=1).values
    return -0.5 * torch.log((2.0 - 2.0 * nearest).clamp(min=1e-6)).mean()


def same_picture(sources: Tensor) -> Tensor:
    """Which rows share a picture: sources int64 [N, 2], the second -1 unless a row mixes two pictures -> bool [N, N]."""
    alike = torch.zeros((len(sources), len(sources)), dtype=torch.bool, device=sources.device)
    for first in sources.T:
        for second in sources.T:
            alike |= (first[:, None] == second) & (first >= 0)[:, None]
    return alike


def mix(inputs: Tensor, sources: Tensor, share: float, power: float) -> tuple[Tensor, Tensor]:
    """Replace a share of the rows by mixtures with another row, which then show both pictures.

    Pixels [N, S, S, 3]: a rectangle of the other picture is laid over (CutMix). Pooled features [N, F]: what GeM of ``power``
    gives for the two maps side by side, ``(a x^p + (1 - a) y^p)^(1/p)``.
    """
    chosen = (torch.rand(len(inputs)) < share).nonzero().squeeze(1).to(inputs.device)
    partners = torch.randint(0, len(inputs), (len(chosen),)).to(inputs.device)
    area = 0.3 + 0.4 * torch.rand(len(chosen)).to(inputs.device)  # of the row's own picture
    mixed = inputs.clone()
    if inputs.dim() == 2:
        a = area[:, None]
        mixed[chosen] = (
            a * inputs[chosen].clamp(min=0) ** power + (1 - a) * inputs[partners].clamp(min=0) ** power
        ) ** (1 / power)
    else:
        size = inputs.shape[1]
        for row, partner, own in zip(chosen.tolist(), partners.tolist(), area.tolist(), strict=True):
            side = max(1, round(size * (1.0 - own) ** 0.5))
            top, left = torch.randint(0, size - side + 1, (2,)).tolist()
            mixed[row, top : top + side, left : left + side] = inputs[partner, top : top + side, left : left + side]
    sources = sources.clone()
    sources[chosen, 1] = sources[partners, 0]
    return mixed, sources
