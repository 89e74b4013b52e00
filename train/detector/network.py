"""A centre-point detector: for every cell of a map, whether a region's centre lies there, and how far its four sides are.

Source of the form: objects as points (CenterNet) with distances to the sides (FCOS), both single class and anchor-free. The
trunk is an EfficientNet-Lite0 up to its last map of stride 16; a map of stride 8 is joined to that, and two depthwise separable
convolutions look at both.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from copytrace.engine.match.detector import VALUES

from ..models.folded import FoldedTrunk
from ..models.network import Trunk

TAPS = ("blocks.2.1.bn2", "blocks.4.2.bn2")
"""Maps of stride 8 and 16, behind their depthwise convolutions."""
STRIDE = 8
_WIDTH = 64
_RARE = -4.0  # logit of a centre in the beginning: one cell of fifty
_USUAL = 0.2  # distance of a side in the beginning, as a share of the picture's


class DetectorNetwork(nn.Module):
    """uint8 RGB pixels [N, S, S, 3] -> float32 [N, VALUES * G * G] with G = S / 8: the maps that
    :mod:`copytrace.engine.match.detector` reads, one behind the other.
    """

    def __init__(self, trunk: Trunk | FoldedTrunk, widths: tuple[int, int]) -> None:
        super().__init__()
        self.trunk = trunk
        self.fine, self.coarse = (_normed(nn.Conv2d(width, _WIDTH, 1, bias=False)) for width in widths)
        self.mix = nn.Sequential(*(_separable(_WIDTH) for _ in range(2)))
        # Two layers, since in int8 each has one scale for all its values, and log odds reach further than shares of a side.
        self.centre, self.sides = _last(1, _RARE), _last(VALUES - 1, _USUAL)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.maps(pixels).flatten(1)

    def maps(self, pixels: Tensor) -> Tensor:
        """float32 [N, VALUES, G, G]."""
        fine, coarse = (x.float() for x in self.trunk.maps(pixels))
        joined = self.fine(fine) + functional.interpolate(self.coarse(coarse), scale_factor=2.0, mode="nearest")
        mixed = self.mix(functional.relu6(joined))
        return torch.cat([self.centre(mixed), self.sides(mixed)], dim=1)


def _normed(*layers: nn.Module) -> nn.Sequential:
    last = layers[-1]
    assert isinstance(last, nn.Conv2d)
    return nn.Sequential(*layers, nn.BatchNorm2d(last.out_channels))


def _last(values: int, start: float) -> nn.Conv2d:
    layer = nn.Conv2d(_WIDTH, values, 1)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.constant_(layer.bias, start)
    return layer


def _separable(width: int) -> nn.Sequential:
    deep = nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False)
    return nn.Sequential(_normed(deep), nn.ReLU6(), _normed(nn.Conv2d(width, width, 1, bias=False)), nn.ReLU6())
