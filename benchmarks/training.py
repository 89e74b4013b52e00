"""A training step of the whole network on a CPU: ours against timm with channels last."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from copytrace.train.models.backbones import LITE0, create_backbone
from copytrace.train.models.folded import FoldedTrunk, bfloat16_is_fast
from copytrace.train.models.network import Trunk
from copytrace.train.settings import TAPS

from .harness import Ratio, interleave, ratio

BATCH, SIZE, STEPS = 64, 128, 3


def run(rounds: int) -> list[Ratio]:
    """On one thread, as one process trains on one core. Views a second: forward, backward, and an update of the weights."""
    torch.set_num_threads(1)
    backbone, scale = create_backbone(LITE0)
    plain = Trunk(backbone, scale, TAPS[LITE0], p=2.0, trainable_p=False, cell=2).eval()
    pixels = torch.randint(
        0, 256, (BATCH, SIZE, SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    ours = FoldedTrunk(plain, torch.bfloat16 if bfloat16_is_fast() else torch.float32)
    similar = nn.functional.cosine_similarity(plain(pixels), ours(pixels)).min().item()
    assert similar > 0.999, f"the two trunks differ: cosine {similar}"
    last = create_backbone(LITE0)[0].to(memory_format=torch.channels_last)
    channels_last = Trunk(last, scale, TAPS[LITE0], p=2.0, trainable_p=False, cell=2).eval()
    # Batch norms stay as they are in both: eval() folds nothing, but takes no statistics of the batch either.
    times = interleave({"timm": _steps(channels_last, pixels), "ours": _steps(ours, pixels)}, rounds)
    for name, seconds in times.items():
        print(f"{name}: {STEPS * BATCH / seconds.median:.0f} views/s on one thread at {SIZE} pixels")
    return [ratio("training step, own / timm channels_last, one thread", times["timm"], times["ours"], 1.8)]


def _steps(trunk: nn.Module, pixels: Tensor) -> Callable[[], None]:
    weights = torch.randn(trunk(pixels[:1]).shape[1], generator=torch.Generator().manual_seed(1))
    optimiser = torch.optim.SGD([p for p in trunk.parameters() if p.requires_grad], lr=1e-9)

    def run() -> None:
        for _ in range(STEPS):
            optimiser.zero_grad()
            (trunk(pixels) @ weights).sum().backward()
            optimiser.step()

    return run
