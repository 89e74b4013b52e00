"""The triplet loss over hard and semi-hard triplets, and the memory of earlier batches that its cross-batch form looks into.

Sources: the matching system of ISC2021's third place, section 2.4; FaceNet (Schroff et al. 2015) for semi-hard triplets;
cross-batch memory (XBM, Wang et al. 2020).
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .gathered import gathered
from .objective import Objective


class TripletObjective(Objective):
    """Is every row nearer to those of its own photograph than to all others? Within the batch, and, with a memory, among the
    rows of earlier steps too (XBM); the two losses are added up.
    """

    views = 2

    def __init__(self, network: nn.Module, *, dimension: int, margin: float = 0.4, memory: int = 0) -> None:
        super().__init__(network)
        self.margin = margin
        self.memory = Memory(memory, dimension) if memory else None

    def forward(self, inputs: Tensor, classes: Tensor) -> Tensor:
        embeddings = self.network(inputs).float()
        if dist.is_initialized():
            embeddings, classes = gathered(embeddings, classes)
        places = torch.arange(len(embeddings), device=classes.device)
        loss = triplet_loss(embeddings, classes, embeddings, classes, self.margin, places)
        if self.memory is None or not self.training:
            return loss
        places = self.memory.add(embeddings.detach(), classes)
        rows, theirs = self.memory.rows.clone(), self.memory.classes.clone()  # the next step changes them
        return loss + triplet_loss(embeddings, classes, rows, theirs, self.margin, places)


def triplet_loss(
    anchors: Tensor,
    classes: Tensor,
    others: Tensor,
    their_classes: Tensor,
    margin: float,
    own: Tensor,
) -> Tensor:
    """Mean of ``d(a, p) - d(a, n) + margin`` over all triplets for which it is positive; 0 where there is none.

    Anchors a are rows [N, D] of classes int64 [N]; p and n are rows of others [M, D] of the same and of another class; d is
    the Euclidean distance. A positive term is a hard triplet (n is nearer than p) or a semi-hard one (n is farther, by less
    than the margin). own int64 [N]: each anchor's place among the others, where it is no positive of itself. A class of -1
    among the others is an empty place.
    """
    distances = euclidean(anchors, others)
    alike = classes[:, None] == their_classes[None, :]
    positives = alike.clone()
    positives[torch.arange(len(anchors), device=own.device), own] = False
    rows, columns = positives.nonzero(as_tuple=True)
    terms = distances[rows, columns][:, None] - distances[rows] + margin  # [pairs, M]
    mined = ~alike[rows] & (their_classes >= 0) & (terms > 0)
    total: Tensor = terms.masked_fill(~mined, 0.0).sum()
    return total / mined.sum().clamp(min=1)


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    """Distances [N, M] of rows [N, D] and [M, D], float32, with gradients that stay finite where rows are equal."""
    with torch.autocast(a.device.type, enabled=False):
        a, b = a.float(), b.float()
        squares = (a * a).sum(dim=1)[:, None] + (b * b).sum(dim=1) - 2.0 * a @ b.T
        return squares.clamp(min=1e-8).sqrt()


class Memory(nn.Module):
    """A queue of the latest ``size`` embeddings and their classes; the oldest make room for new ones.

    It lies in buffers, so that a checkpoint holds it and a resumed run compares with the same rows.
    Attributes: rows float32 [size, D]; classes int64 [size], -1 where nothing has come yet.
    """

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(size, dimension))
        self.register_buffer("classes", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("next", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def add(self, embeddings: Tensor, classes: Tensor) -> Tensor:
        """Take in embeddings [N, D] with their classes, N at most ``size``; returns their places int64 [N]."""
        places = (self.next + torch.arange(len(embeddings), device=self.next.device)) % len(self.rows)
        self.rows[places] = embeddings.float()
        self.classes[places] = classes
        self.next.copy_((self.next + len(embeddings)) % len(self.rows))
        return places
