"""The fast training step on a CPU: batch norms folded in, channels last, in bfloat16 where the processor has it.

What costs most when a mobile network is trained on a CPU are its depthwise convolutions, then copies between layouts and
passes over maps for every ReLU6. Here a map stays [N, H, W, C]; 1 x 1 convolutions are matrix products; depthwise
convolutions run in a kernel of our own with the ReLU6 before and behind them inside (``csrc/training``); and nothing behind the
last tap is computed. Batch norms keep the statistics they came with, as part of the weights.
"""

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from .. import _kernels
from .network import Trunk

_LANES = 16  # channels come in multiples of it


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies matrices of bfloat16 faster than those of float32 (AVX512-BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def can_fold(trunk: Trunk) -> bool:
    """Whether a trunk is of the kind that :class:`FoldedTrunk` computes: an EfficientNet-Lite, tapped inside its blocks."""
    from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual

    backbone: Any = trunk.backbone
    if not trunk.taps or not hasattr(backbone, "conv_stem") or not hasattr(backbone, "blocks"):
        return False
    blocks = {f"blocks.{i}.{j}": block for i, stage in enumerate(backbone.blocks) for j, block in enumerate(stage)}
    kinds = all(type(block) in (DepthwiseSeparableConv, InvertedResidual) for block in blocks.values())
    return (
        kinds
        and all(
            isinstance(block.se, nn.Identity) and isinstance(_dw_norm(block).act, nn.ReLU6) for block in blocks.values()
        )
        and all(_dw_norm(block).weight.numel() % _LANES == 0 for block in blocks.values())
        and all(tap in (f"{name}.{_dw_norm_name(block)}" for name, block in blocks.items()) for tap in trunk.taps)
        and isinstance(backbone.bn1.act, nn.ReLU6)
    )


def _dw_norm_name(block: Any) -> str:
    return "bn2" if hasattr(block, "conv_pwl") else "bn1"


def _dw_norm(block: Any) -> Any:
    return getattr(block, _dw_norm_name(block))


def _as_array(tensor: Tensor) -> NDArray[Any]:
    """Without a copy; bfloat16 as its bits."""
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()


class _Depthwise(torch.autograd.Function):
    """x [N, H, W, C], weight [K * K, C], bias [C] -> clip(convolution, 0, 6), "SAME" padding; x is clipped first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        x = x.contiguous()
        n, height, width, channels = x.shape
        y = x.new_empty(n, -(-height // stride), -(-width // stride), channels)
        _kernels.depthwise_forward(*map(_as_array, (x, weight, bias, y)), stride, True)
        ctx.save_for_backward(x, y, weight)
        ctx.stride = stride
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight = ctx.saved_tensors
        gradient = gradient.to(y.dtype).contiguous()
        to_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        to_weight, to_bias = torch.empty_like(weight), weight.new_empty(weight.shape[1])
        arrays = [None if t is None else _as_array(t) for t in (gradient, y, x, weight, to_x, to_weight, to_bias)]
        _kernels.depthwise_backward(*arrays, ctx.stride, True)
        return to_x, to_weight, to_bias, None


@dataclass(frozen=True)
class _Norm:
    """A convolution and the batch norm behind it, which fold into one."""

    convolution: Any
    norm: Any

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weights as the convolution has them, and bias [C]."""
        factor = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        weight = self.convolution.weight * factor[:, None, None, None]
        return weight.detach().clone(), (self.norm.bias - self.norm.running_mean * factor).detach().clone()

    @torch.no_grad()
    def unfold(self, weight: Tensor, bias: Tensor) -> None:
        """Give convolution and norm values that compute the same: the norm only adds the bias."""
        self.convolution.weight.copy_(weight)
        self.norm.running_mean.zero_()
        self.norm.running_var.fill_(1.0)
        self.norm.weight.copy_(torch.sqrt(self.norm.running_var + self.norm.eps))
        self.norm.bias.copy_(bias)


class _Layer(nn.Module):
    """Weight and bias of a folded convolution."""

    def __init__(self, source: _Norm) -> None:
        super().__init__()
        self._source = (source,)  # in a tuple: its modules are not this one's
        weight, bias = source.folded()
        self.weight, self.bias = nn.Parameter(self._packed(weight)), nn.Parameter(bias)

    def _packed(self, weight: Tensor) -> Tensor:
        return weight

    def _unpacked(self, weight: Tensor) -> Tensor:
        return weight

    def unfold(self) -> None:
        self._source[0].unfold(self._unpacked(self.weight.detach()), self.bias.detach())


class _Pointwise(_Layer):
    """1 x 1 convolution as a matrix product."""

    def _packed(self, weight: Tensor) -> Tensor:
        return weight[:, :, 0, 0].contiguous()

    def _unpacked(self, weight: Tensor) -> Tensor:
        return weight[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class _DepthwiseLayer(_Layer):
    def __init__(self, source: _Norm) -> None:
        self.kernel, self.stride = source.convolution.kernel_size[0], source.convolution.stride[0]
        super().__init__(source)

    def _packed(self, weight: Tensor) -> Tensor:
        return weight[:, 0].permute(1, 2, 0).reshape(self.kernel**2, -1).contiguous()

    def _unpacked(self, weight: Tensor) -> Tensor:
        return weight.reshape(self.kernel, self.kernel, -1).permute(2, 0, 1).unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        return _Depthwise.apply(x, self.weight, self.bias, self.stride)


class _Stem(_Layer):
    """The first convolution, 3 x 3 of stride 2; its ReLU6 is applied by the depthwise layer that follows."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        before = [side % 2 for side in x.shape[2:]]  # of an odd side one pixel is missing before, of any one behind
        x = functional.pad(x, (before[1], 1, before[0], 1))
        weight = self.weight.to(x.dtype).contiguous(memory_format=torch.channels_last)
        y = functional.conv2d(x.contiguous(memory_format=torch.channels_last), weight, self.bias.to(x.dtype), stride=2)
        return y.permute(0, 2, 3, 1)


class _Block(nn.Module):
    """An inverted residual, or the depthwise separable convolution that a network begins with."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        inverted = hasattr(block, "conv_pwl")
        self.expand = _Pointwise(_Norm(block.conv_pw, block.bn1)) if inverted else nn.Identity()
        self.depthwise = _DepthwiseLayer(_Norm(block.conv_dw, _dw_norm(block)))
        last = (block.conv_pwl, block.bn3) if inverted else (block.conv_pw, block.bn2)
        self.reduce = _Pointwise(_Norm(*last))
        self.skip = block.has_skip

    def inner(self, x: Tensor) -> Tensor:
        """What a tap sees: the map behind the depthwise convolution."""
        return self.depthwise(self.expand(x))

    def outer(self, x: Tensor, inner: Tensor) -> Tensor:
        y = self.reduce(inner)
        return y + x if self.skip else y


class FoldedTrunk(nn.Module):
    """uint8 RGB pixels [N, S, S, 3] -> pooled features float32 [N, F]: a :class:`Trunk`, faster to train on a CPU.

    trunk: where the weights come from, and where :meth:`unfold` puts them back. dtype: of maps and matrix products; weights,
    gradients of weights and features are float32.
    """

    def __init__(self, trunk: Trunk, dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self._trunk = (trunk,)
        self.dtype, self.scale = dtype, trunk.scale
        backbone: Any = trunk.backbone
        names = [(f"blocks.{i}.{j}", block) for i, stage in enumerate(backbone.blocks) for j, block in enumerate(stage)]
        taps = {tap.rsplit(".", 1)[0] for tap in trunk.taps}
        last = max(place for place, (name, _) in enumerate(names) if name in taps)
        self.stem = _Stem(_Norm(backbone.conv_stem, backbone.bn1))
        self.blocks = nn.ModuleList(_Block(block) for _, block in names[: last + 1])
        self._tapped = [name in taps for name, _ in names[: last + 1]]
        self.pools = trunk.pools

    def forward(self, pixels: Tensor) -> Tensor:
        return self._trunk[0].pooled(self.maps(pixels))

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """uint8 RGB pixels [N, S, S, 3] -> the map [N, C, H, W] of every tap."""
        trunk = self._trunk[0]
        x = self.stem(((pixels.float() - trunk.offset) / trunk.divisor).to(self.dtype))
        maps = []
        for place, (block, tapped) in enumerate(zip(self.blocks, self._tapped, strict=True)):
            inner = block.inner(x)
            if tapped:
                maps.append(inner.permute(0, 3, 1, 2))
            if place + 1 < len(self.blocks):
                x = block.outer(x, inner)
        return maps

    def unfold(self) -> Trunk:
        """The trunk that this one was made of, with the weights as they are now."""
        for module in self.modules():
            if isinstance(module, _Layer):
                module.unfold()
        return self._trunk[0]
