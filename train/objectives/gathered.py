"""Rows of every process, for losses that compare all rows of a batch."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def gathered(embeddings: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """Every process's rows, with gradients."""
    others = [torch.empty_like(sources) for _ in range(dist.get_world_size())]
    dist.all_gather(others, sources)
    return torch.cat(all_gather(embeddings)), torch.cat(others)
