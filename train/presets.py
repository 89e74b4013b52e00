"""The published systems' training settings by name: seven models of the descriptor system, two stages of the matching system.

Sources: table 1 and section 2 of the descriptor system of ISC2021's second place, and the instructions in its public code for
the numbers of classes that drip training went through; sections 2.4 and 3.1 of the matching system of its third place. How
many steps a run takes is not published for the seven: give ``--steps``.
"""

from collections.abc import Collection
from typing import Any

from copytrace.engine import CopytraceError

_DESCRIPTOR = {
    "weights": "imagenet",
    "taps": (),
    "frozen": False,
    "objective": "arcface",
    "margin": 0.4,
    "scale": 40.0,
    "batch": 64,
    "learning_rate": 1e-3,
    "schedule": "plateau",
    "attacks": "isc2021",
}


def _descriptor(
    backbone: str, size: int, classes: int, dimension: int, *drip_steps: int, **other: Any
) -> dict[str, Any]:
    row = {"backbone": backbone, "size": size, "classes": classes, "dimension": dimension, "drip_steps": drip_steps}
    return _DESCRIPTOR | row | other


_MATCHING = {
    "backbone": "swin_base_patch4_window14_224",
    "weights": None,
    "size": 224,
    "dimension": 256,
    "taps": (),
    "last_blocks": 4,
    "pooling": "average",
    "frozen": False,
    "objective": "triplet",
    "batch": 64,
    "schedule": "cosine",
    "weight_decay": 0.01,
    "attacks": "both",
}

_B5, _NFNET = (40_000, 80_000, 150_000), (50_000, 100_000, 200_000, 500_000)
PRESETS: dict[str, dict[str, Any]] = {
    "descriptor-efficientnetv2-l-512": _descriptor("tf_efficientnetv2_l", 512, 980_000, 512, first_size=224),
    "descriptor-efficientnetv2-s-224": _descriptor("efficientnetv2_rw_s", 224, 1_200_000, 384),
    "descriptor-efficientnetv2-s-160": _descriptor("efficientnetv2_rw_s", 160, 1_000_000, 384),
    "descriptor-nfnet-l1-1000k": _descriptor("eca_nfnet_l1", 160, 1_000_000, 384, *_NFNET),
    "descriptor-nfnet-l1-1500k": _descriptor("eca_nfnet_l1", 160, 1_500_000, 256, *_NFNET, 1_000_000),
    "descriptor-efficientnet-b5-1500k": _descriptor("tf_efficientnet_b5", 160, 1_500_000, 256, *_B5, 350_000, 700_000),
    "descriptor-efficientnet-b5-1800k": _descriptor("tf_efficientnet_b5", 160, 1_800_000, 256, *_B5, 300_000, 600_000),
    # 50 epochs of a million photographs; of each two views.
    "matching-stage1": _MATCHING | {"learning_rate": 1e-4, "memory": 8192, "steps": 781_250},
    # 200 epochs of 4,991 labelled copies.
    "matching-stage2": _MATCHING | {"learning_rate": 1e-5, "memory": 8192, "steps": 20_795, "pairs": None},
}
"""Name -> settings. None: what has to be given beside the preset."""


def with_preset(name: str, options: dict[str, Any], given: Collection[str]) -> dict[str, Any]:
    """Options with a preset's settings in all places that were not given explicitly.

    A run that begins with another's network (``initial``) needs no weights. Raises: CopytraceError when something is missing.
    """
    preset = PRESETS[name]
    result = options | {key: value for key, value in preset.items() if key not in given}
    if result.get("initial") and result["weights"] is None:
        result["weights"] = "none"
    for key, what in (("weights", "FILE (EsViT's Swin-B), imagenet or none"), ("pairs", "DIR")):
        if result[key] is None:
            raise CopytraceError(f"--preset {name} needs --{key} {what}")
    return result
