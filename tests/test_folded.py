"""The fast training step: its kernel against autograd on every instruction set, its trunk against timm's."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional  # noqa: E402

from copytrace.train import _kernels  # noqa: E402
from copytrace.train.loop.average import WeightAverage  # noqa: E402
from copytrace.train.loop.schedule import constant_with_tail  # noqa: E402
from copytrace.train.models.backbones import create_backbone  # noqa: E402
from copytrace.train.models.folded import FoldedTrunk, can_fold  # noqa: E402
from copytrace.train.models.network import Trunk  # noqa: E402
from copytrace.train.settings import TAPS  # noqa: E402

LITE0 = "tf_efficientnet_lite0"
KERNELS = [(kernel, stride) for kernel in (3, 5) for stride in (1, 2)]


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


def plain_depthwise(x, weight, bias, stride):
    """[N, H, W, C] in float64, by torch's own convolution and clips."""
    kernel = round(len(weight) ** 0.5)
    padded = functional.pad(
        x.clamp(0, 6).permute(0, 3, 1, 2),
        (*same_padding(x.shape[2], kernel, stride), *same_padding(x.shape[1], kernel, stride)),
    )
    taps = weight.reshape(kernel, kernel, -1).permute(2, 0, 1).unsqueeze(1)
    return functional.conv2d(padded, taps, bias, stride, groups=len(bias)).clamp(0, 6).permute(0, 2, 3, 1)


def both_ways(x, weight, bias, gradient, stride, isa):
    y, to_x, to_weight, to_bias = np.empty_like(gradient), np.empty_like(x), np.empty_like(weight), np.empty_like(bias)
    _kernels.depthwise_forward(x, weight, bias, y, stride, True, isa)
    _kernels.depthwise_backward(gradient, y, x, weight, to_x, to_weight, to_bias, stride, True, isa)
    return y, to_x, to_weight, to_bias


def example(height, width, channels, kernel, stride, images=2):
    rng = np.random.default_rng([height, width, channels, kernel, stride])
    x = (3 * rng.standard_normal((images, height, width, channels))).astype(np.float32)
    weight = rng.standard_normal((kernel**2, channels)).astype(np.float32)
    bias = rng.standard_normal(channels).astype(np.float32)
    gradient = rng.standard_normal((images, -(-height // stride), -(-width // stride), channels)).astype(np.float32)
    return x, weight, bias, gradient


def relative(ours, exact) -> float:
    return float(np.abs(ours - exact).max() / np.abs(exact).max())


@pytest.mark.parametrize("isa", _kernels.instruction_sets())
@pytest.mark.parametrize(("kernel", "stride"), KERNELS)
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (7, 2), (9, 17), (16, 16)])
def test_kernel_equals_autograd(isa, kernel, stride, size):
    arrays = example(*size, 32, kernel, stride)
    x, weight, bias = (torch.from_numpy(a).double().requires_grad_() for a in arrays[:3])
    exact = plain_depthwise(x, weight, bias, stride)
    gradients = torch.autograd.grad(exact, (x, weight, bias), torch.from_numpy(arrays[3]).double())
    for ours, theirs in zip(both_ways(*arrays, stride, isa), (exact, *gradients), strict=True):
        if theirs.abs().max() > 0:
            assert relative(ours, theirs.detach().numpy()) < 1e-5


@pytest.mark.parametrize("isa", _kernels.instruction_sets())
@pytest.mark.parametrize(("kernel", "stride"), KERNELS)
def test_bfloat16_is_float32_rounded(isa, kernel, stride):
    """The same numbers as in float32 from the same, rounded, inputs: sums are not taken in bfloat16."""
    arrays = [a.copy() for a in example(11, 6, 16, kernel, stride)]
    halves = [torch.from_numpy(a).bfloat16() for a in (arrays[0], arrays[3])]
    arrays[0], arrays[3] = (half.float().numpy() for half in halves)
    exact = both_ways(*arrays, stride, isa)
    bits = [half.view(torch.int16).numpy() for half in halves]
    y, to_x, to_weight, _ = both_ways(bits[0], *arrays[1:3], bits[1], stride, isa)
    for ours, theirs in ((y, exact[0]), (to_x, exact[1])):
        values = torch.from_numpy(ours).view(torch.bfloat16)
        # Where rounding moves a y across a clip, its gradient starts or stops to count; elsewhere only rounding differs.
        close = torch.isclose(values, torch.from_numpy(theirs).bfloat16(), rtol=1 / 64, atol=1e-2)
        assert close.float().mean() > 0.97
    assert relative(to_weight, exact[2]) < 0.05


def test_all_instruction_sets_agree():
    arrays = example(13, 10, 48, 5, 2)
    exact, *others = (both_ways(*arrays, 2, isa) for isa in _kernels.instruction_sets())
    for other in others:
        assert all(relative(ours, theirs) < 1e-5 for ours, theirs in zip(other, exact, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: (a[0][:, :, :, :30].copy(), *a[1:]), "multiple of 16"),
        (lambda a: (a[0].astype(np.float64), *a[1:]), "float32"),
        (lambda a: (a[0], a[1][:4].copy(), *a[2:]), "3 x 3"),
        (lambda a: (a[0], a[1], a[2][:16].copy(), a[3]), "bias"),
        (lambda a: (a[0][:, ::2], *a[1:]), "contiguous"),
        (lambda a: (*a[:3], a[3][:, :2].copy()), "y must have the shape"),
    ],
)
def test_kernel_refuses_what_it_cannot_compute(change, message):
    x, weight, bias, y = change(example(8, 8, 32, 3, 1))
    with pytest.raises(ValueError, match=message):
        _kernels.depthwise_forward(x, weight, bias, y, 1, True)


def test_unknown_instruction_set():
    x, weight, bias, y = example(8, 8, 32, 3, 1)
    with pytest.raises(ValueError, match="choose one of: auto, plain"):
        _kernels.depthwise_forward(x, weight, bias, y, 1, True, "sse9")


def lite0_trunk(taps=TAPS[LITE0], cell=2):
    torch.manual_seed(0)
    backbone, scale = create_backbone(LITE0)
    return Trunk(backbone, scale, taps, p=2.0, trainable_p=False, cell=cell).eval()


def pictures(side, count=2):
    rng = np.random.default_rng(side)
    return torch.from_numpy(rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8))


@pytest.mark.parametrize("side", [64, 65])
def test_folded_trunk_is_the_trunk(side):
    """Features, and the gradient of a function of them, to what float32 can hold."""
    trunk = lite0_trunk(cell=1)  # a maximum has no gradient where two pixels tie
    folded, pixels = FoldedTrunk(trunk, torch.float32), pictures(side)
    weights = torch.randn(trunk(pixels[:1]).shape[1], generator=torch.Generator().manual_seed(0))
    backbone = trunk.backbone
    theirs = trunk(pixels)
    ours = folded(pixels)
    assert relative(ours.detach().numpy(), theirs.detach().numpy()) < 1e-5
    exact = torch.autograd.grad(
        (theirs @ weights).sum(), [backbone.conv_stem.weight, backbone.blocks[3][1].conv_pw.weight]
    )
    stem, deep = torch.autograd.grad((ours @ weights).sum(), [folded.stem.weight, folded.blocks[6].expand.weight])
    for norm, got, want in (
        (backbone.bn1, stem, exact[0]),
        (backbone.blocks[3][1].bn1, deep[:, :, None, None], exact[1]),
    ):
        factor = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
        assert relative((got * factor[:, None, None, None]).numpy(), want.numpy()) < 1e-5


def test_bfloat16_trunk_is_near():
    trunk, pixels = lite0_trunk(), pictures(96)
    assert functional.cosine_similarity(trunk(pixels), FoldedTrunk(trunk)(pixels)).min() > 0.999


def test_unfolding_gives_back_what_was_trained():
    trunk, pixels = lite0_trunk(), pictures(64)
    folded = FoldedTrunk(trunk, torch.float32)
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter += 0.01 * parameter.abs().mean()
    wanted = folded(pixels)
    assert not torch.allclose(trunk(pixels), wanted, rtol=1e-3)
    assert torch.allclose(folded.unfold().eval()(pixels), wanted, rtol=1e-4, atol=1e-5)


def test_what_can_be_folded():
    assert can_fold(lite0_trunk())
    assert not can_fold(lite0_trunk(taps=()))
    assert not can_fold(lite0_trunk(taps=("blocks.3",)))
    backbone, scale = create_backbone("resnet18", "none")
    assert not can_fold(Trunk(backbone, scale, ("layer2",)))


def test_average_of_weights():
    layer = torch.nn.Linear(3, 2)
    average = WeightAverage(layer, 0.9)
    kept = [p.detach().clone() for p in layer.parameters()]
    for step in range(1, 31):
        with torch.no_grad():
            for p in layer.parameters():
                p += step
        average.update()
        share = min(0.9, step / (9 + step))
        kept = [share * k + (1 - share) * p.detach() for k, p in zip(kept, layer.parameters(), strict=True)]
    live = [p.detach().clone() for p in layer.parameters()]
    with average.applied():
        assert all(torch.allclose(p, k) for p, k in zip(layer.parameters(), kept, strict=True))
    assert all(torch.equal(p, k) for p, k in zip(layer.parameters(), live, strict=True))


def test_no_average_leaves_the_weights_alone():
    layer = torch.nn.Linear(3, 2)
    average = WeightAverage(layer, 0.0)
    average.update()
    before = layer.weight.detach().clone()
    with average.applied():
        assert torch.equal(layer.weight, before)
    average.apply()
    assert torch.equal(layer.weight, before)


def test_rate_is_constant_then_falls_to_zero():
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = constant_with_tail(optimiser, warmup=10, steps=100, tail=0.35)
    rates = []
    for _ in range(100):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:65] == [1.0] * 56
    assert rates[82] == pytest.approx(18 / 35)
    assert rates[99] == pytest.approx(1 / 35)
