"""The objectives behind one switch: a network, a loss, and how many views of a photograph a batch holds."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

from .arcface import ArcFace
from .contrastive import info_nce, koleo, same_picture
from .triplet import Memory, triplet_loss


class ArcFaceObjective(nn.Module):
    """Which of the training photographs is it? One class per photograph."""

    views = 1

    def __init__(self, network: nn.Module, arcface: ArcFace) -> None:
        super().__init__()
        self.network, self.arcface = network, arcface

    def forward(self, inputs: Tensor, classes: Tensor) -> Tensor:
        return self.arcface(self.network(inputs), classes)


class ContrastiveObjective(nn.Module):
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
        super().__init__()
        self.network = network
        self.temperature, self.entropy, self.mixed, self.power = temperature, entropy, mixed, power

    def forward(self, inputs: Tensor, classes: Tensor) -> Tensor:
        sources = torch.stack([classes, torch.full_like(classes, -1)], dim=1)
        if self.mixed:
            inputs, sources = mix(inputs, sources, self.mixed, self.power)
        embeddings = self.network(inputs).float()
        if dist.is_initialized():
            embeddings, sources = _gathered(embeddings, sources)
        alike = same_picture(sources)
        return info_nce(embeddings, alike, self.temperature) + self.entropy * koleo(embeddings, alike)


class TripletObjective(nn.Module):
    """Is every row nearer to those of its own photograph than to all others? Within the batch, and, with a memory, among the
    rows of earlier steps too (XBM); the two losses are added up.
    """

    views = 2

    def __init__(self, network: nn.Module, *, dimension: int, margin: float = 0.4, memory: int = 0) -> None:
        super().__init__()
        self.network, self.margin = network, margin
        self.memory = Memory(memory, dimension) if memory else None

    def forward(self, inputs: Tensor, classes: Tensor) -> Tensor:
        embeddings = self.network(inputs).float()
        if dist.is_initialized():
            embeddings, classes = _gathered(embeddings, classes)
        places = torch.arange(len(embeddings), device=classes.device)
        loss = triplet_loss(embeddings, classes, embeddings, classes, self.margin, places)
        if self.memory is None or not self.training:
            return loss
        places = self.memory.add(embeddings.detach(), classes)
        rows, theirs = self.memory.rows.clone(), self.memory.classes.clone()  # the next step changes them
        return loss + triplet_loss(embeddings, classes, rows, theirs, self.margin, places)


def _gathered(embeddings: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """Every process's rows, with gradients."""
    others = [torch.empty_like(sources) for _ in range(dist.get_world_size())]
    dist.all_gather(others, sources)
    return torch.cat(all_gather(embeddings)), torch.cat(others)


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
