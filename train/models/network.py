"""The descriptor network: pixels -> timm backbone -> GeM pooling -> linear layer without bias -> unit length.

Source: the descriptor system of ISC2021's second place, section 2.2. Two things are added to it: the features may be pooled
at several places of the backbone ("taps"), and they are standardised by fixed numbers before the linear layer, so that one
trained on frozen features starts from a sensible scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


class GeM(nn.Module):
    """Generalised-mean pooling, ``(mean over the map of max(x, eps)^p)^(1/p)``: [N, C, H, W] -> [N, C].

    Computed in float32 whatever the input, because x^p leaves the range of float16. A fixed p of 2 is the root of the mean
    square, which runtimes have as one operation.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6, *, trainable: bool = False) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(float(p)), requires_grad=trainable)
        self.eps = eps
        self._square = p == 2.0 and not trainable

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            x = x.float().clamp(min=self.eps)
            if self._square:
                return torch.linalg.vector_norm(x, dim=(2, 3)) / (x.shape[2] * x.shape[3]) ** 0.5
            pooled: Tensor = x.pow(self.p).mean(dim=(2, 3)).pow(1.0 / self.p)
        return pooled


class AveragePool(nn.Module):
    """The mean over the map, in float32: [N, C, H, W] -> [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean(dim=(2, 3))


@dataclass(frozen=True)
class PixelScale:
    """Bytes to floats: ``(x - offset) / divisor``, for all channels or for each."""

    offset: float | tuple[float, ...]
    divisor: float | tuple[float, ...]


class _AllTapped(Exception):  # noqa: N818 - no error: it ends a backbone's pass behind the last tap
    pass


class Trunk(nn.Module):
    """uint8 RGB pixels [N, S, S, 3] -> pooled features float32 [N, F].

    backbone: a timm model without classifier. taps: names of its modules whose outputs are pooled, each by a GeM of its own
    (average: by the mean), and concatenated in the order in which the backbone computes them; none: its last feature map. What
    lies behind the last tap is not computed. cell: pool the maxima of cells of this many pixels a side instead of the pixels
    themselves.
    """

    def __init__(
        self,
        backbone: nn.Module,
        scale: PixelScale,
        taps: Sequence[str] = (),
        *,
        p: float = 3.0,
        trainable_p: bool = True,
        average: bool = False,
        cell: int = 1,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.taps = tuple(taps)
        self.backbone = backbone
        self.scale = scale
        self.register_buffer("offset", torch.tensor(scale.offset), persistent=False)
        self.register_buffer("divisor", torch.tensor(scale.divisor), persistent=False)
        self.pools = nn.ModuleList(
            AveragePool() if average else GeM(p, trainable=trainable_p) for _ in range(max(1, len(taps)))
        )
        self._tapped: list[Tensor] = []
        for name in taps:
            backbone.get_submodule(name).register_forward_hook(self._tap)

    def _tap(self, module: nn.Module, args: object, output: Tensor) -> None:
        self._tapped.append(output)
        exporting = torch.compiler.is_exporting()  # leaves out by itself what is not used
        if len(self._tapped) == len(self.pools) and not exporting:
            raise _AllTapped

    def forward(self, pixels: Tensor) -> Tensor:
        return self.pooled(self.maps(pixels))

    def pooled(self, maps: Sequence[Tensor]) -> Tensor:
        """One map [N, C, H, W] for each tap -> features [N, F]."""
        return torch.cat([pool(self._cells(x)) for pool, x in zip(self.pools, maps, strict=True)], dim=1)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """uint8 RGB pixels [N, S, S, 3] -> the map [N, C, H, W] of every tap."""
        x = ((pixels.float() - self.offset) / self.divisor).permute(0, 3, 1, 2)
        self._tapped = []
        try:
            last = [self.backbone.forward_features(x)]
        except _AllTapped:
            last = []
        maps, self._tapped = self._tapped or last, []
        return [self._as_map(x) for x in maps]

    def _cells(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, self.cell) if self.cell > 1 else x

    def _as_map(self, x: Tensor) -> Tensor:
        """[N, C, H, W], from maps with channels last and from a transformer's tokens [N, L, C] too."""
        if x.dim() == 3:
            return x[:, getattr(self.backbone, "num_prefix_tokens", 0) :].transpose(1, 2).unsqueeze(2)
        return x.permute(0, 3, 1, 2) if getattr(self.backbone, "output_fmt", "NCHW") == "NHWC" else x

    @torch.no_grad()
    def width(self, size: int) -> int:
        """F, found by a trial."""
        training = self.training
        features = self.eval()(torch.zeros((1, size, size, 3), dtype=torch.uint8))
        self.train(training)
        return int(features.shape[1])


class Head(nn.Module):
    """Features [N, F] -> embeddings [N, D] of unit length: standardise, linear layer without bias, L2.

    The mean [F] and deviation [F] are 0 and 1 until :meth:`standardise`.
    """

    def __init__(self, features: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.linear = nn.Linear(features, dimension, bias=False)

    def standardise(self, features: Tensor) -> None:
        """Take mean and deviation from features [N, F].

        Features that hardly vary here, but may in other pictures, are not blown up: none counts for less than a tenth of the
        mean deviation.
        """
        self.mean.copy_(features.mean(dim=0))
        deviation = features.std(dim=0)
        self.deviation.copy_(deviation.clamp(min=float(0.1 * deviation.mean()) + 1e-6))

    def forward(self, features: Tensor) -> Tensor:
        return functional.normalize(self.linear((features - self.mean) / self.deviation), dim=1)


class DescriptorNetwork(nn.Module):
    """uint8 RGB pixels [N, S, S, 3] -> raw embeddings float32 [N, E]; without a head, the pooled features themselves."""

    def __init__(self, trunk: Trunk, head: Head | None = None) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Identity() if head is None else head

    def forward(self, pixels: Tensor) -> Tensor:
        embeddings: Tensor = self.head(self.trunk(pixels))
        return embeddings
