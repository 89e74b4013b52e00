"""The network of a run, from its settings."""

from typing import Any

import torch
from torch import nn

from copytrace.engine import CopytraceError

from ..settings import Settings
from .backbones import create_backbone, has_fixed_size
from .blocks import last_blocks
from .folded import FoldedTrunk, bfloat16_is_fast, can_fold
from .network import DescriptorNetwork, Head, PixelScale, Trunk


def build_network(settings: Settings, load: bool = True) -> DescriptorNetwork:
    """The network as it is before training. load: False when it will be given other weights.

    Raises: CopytraceError for a backbone, taps or a size that do not go together.
    """
    torch.manual_seed(settings.seed)
    if settings.first_size not in (None, settings.size) and has_fixed_size(settings.backbone):
        raise CopytraceError(f"{settings.backbone} looks at pictures of one size; leave out --first-size")
    backbone, scale = create_backbone(settings.backbone, settings.weights, settings.size, load=load)
    trunk: Any = make_trunk(backbone, scale, settings)
    try:
        width = trunk.width(settings.size)
    except (RuntimeError, AssertionError, AttributeError) as error:
        said = " ".join(str(error).split())[:200]
        raise CopytraceError(f"{settings.backbone} cannot look at {settings.size} pixels there: {said}") from None
    head = Head(width, settings.dimension) if settings.dimension else None
    if settings.folded:
        if not can_fold(trunk):
            raise CopytraceError(
                f"--folded: {settings.backbone} with these taps is no network that it computes; use --plain"
            )
        trunk = FoldedTrunk(trunk, torch.bfloat16 if bfloat16_is_fast() else torch.float32)
    return DescriptorNetwork(trunk, head)


def fast_step_fits(settings: Settings) -> bool:
    """Whether a run trains faster folded: on this processor, with this network.

    Raises: CopytraceError for backbones and taps that do not exist.
    """
    if settings.frozen or settings.amp != "off" or torch.cuda.is_available() or not bfloat16_is_fast():
        return False
    backbone, scale = create_backbone(settings.backbone, "none", settings.size)
    return can_fold(make_trunk(backbone, scale, settings))


def exportable(network: DescriptorNetwork) -> DescriptorNetwork:
    """The same network with its trunk as timm has it."""
    trunk = network.trunk
    return DescriptorNetwork(trunk.unfold(), network.head) if isinstance(trunk, FoldedTrunk) else network


def make_trunk(backbone: nn.Module, scale: PixelScale, settings: Settings) -> Trunk:
    """Raises: CopytraceError for taps that the backbone does not have."""
    # A fixed power of 2 is a single operation for runtimes, and enough: learning it is for the paper's 3.
    pooling = {"p": settings.power, "trainable_p": not settings.frozen and settings.power != 2.0, "cell": settings.cell}
    taps = last_blocks(backbone, settings.last_blocks) if settings.last_blocks else settings.taps
    try:
        return Trunk(backbone, scale, taps, average=settings.pooling == "average", **pooling)
    except AttributeError as error:
        raise CopytraceError(f"{settings.backbone}, --taps {','.join(settings.taps)}: {error}") from None
