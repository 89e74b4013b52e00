"""The contrastive objective: InfoNCE with an entropy term, and pictures mixed within the batch.

Source: the self-supervised descriptor for copy detection (SSCD, Pizzi et al. 2022), sections 3.2 to 3.4; the entropy term is
the nearest-neighbour estimate of Kozachenko and Leonenko (KoLeo).
"""

import torch
from torch import Tensor
from torch.nn import functional


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
