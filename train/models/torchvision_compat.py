"""Lets ``import torchvision`` (and so timm) work beside a CPU-only torch.

The registry's torchvision wheel is compiled for CUDA; beside a CPU build of torch its operators are absent and the import
fails with "operator torchvision::nms does not exist". timm needs torchvision's Python side only, so the two operators that
are looked up by name at import time are declared, without an implementation.
"""

import torch

_declared: list[torch.library.Library] = []


def declare_missing_operators() -> None:
    """Declare ``torchvision::nms`` and ``qnms`` where torch has no CUDA. Safe to call twice; call it before importing timm."""
    if torch.version.cuda is not None or _declared:
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
