"""The blocks of a backbone, by timm's own account of them."""

import re
from typing import Any

from torch import nn

from copytrace.engine import CopytraceError


def last_blocks(backbone: nn.Module, count: int) -> tuple[str, ...]:
    """Names of a timm model's last ``count`` blocks, of whatever stage, in the order in which they are computed.

    A block is what timm's ``group_matcher`` gives a learning rate of its own: of a Swin transformer or a ViT one attention
    block, of a ResNet one residual block. Swin-B's last four are the last two of its third stage (512 channels) and both of
    its fourth (1024).
    Raises: CopytraceError when timm does not name the model's blocks, or they are fewer.
    """
    names = [name for name, _ in backbone.named_modules() if any(re.fullmatch(p, name) for p in _patterns(backbone))]
    if len(names) < count:
        kind = type(backbone).__name__
        raise CopytraceError(f"--last-blocks {count}: timm names {len(names)} blocks of {kind}; give --taps instead")
    return tuple(names[len(names) - count :])


def _patterns(backbone: Any) -> list[str]:
    """Regular expressions of blocks' names; others in timm's list are modules that count with a block, or have no number."""
    groups = backbone.group_matcher(coarse=False) if hasattr(backbone, "group_matcher") else {}
    blocks = groups.get("blocks", []) if isinstance(groups, dict) else []
    if isinstance(blocks, str):
        return [blocks]
    if not isinstance(blocks, list | tuple):
        return []
    pairs = [(entry, None) if isinstance(entry, str) else (entry[0], entry[1]) for entry in blocks]
    return [pattern for pattern, place in pairs if place is None]
