"""The statistics of batch norms after a short training."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from .photographs import Photographs, clean_view, spread

SETTLED = 100
"""Steps after which running means hold nothing of their beginning."""
_PHOTOGRAPHS = 64
_AT_ONCE = 16


def settle_batch_norms(network: nn.Module, photos: Photographs, size: int, seed: int) -> None:
    """Give batch norms the statistics of some photographs as they are, instead of running means.

    Running means of a few steps still hold the beginning, by which a deep network's numbers grow from layer to layer, until
    rounding decides its embeddings.
    """
    places = spread(len(photos), _PHOTOGRAPHS)
    parts = np.array_split(places, -(-len(places) // _AT_ONCE))  # none of a single picture, which has no variance

    def pictures() -> Iterator[Tensor]:
        for part in parts:
            yield torch.from_numpy(np.stack([clean_view(photos, int(place), size)[1] for place in part]))

    torch.manual_seed(seed)
    update_bn(pictures(), network, next(network.parameters()).device)
