"""Attacks one after the other: chains of random length for training, and the ten classes of an evaluation set."""

from .draw import Draw, Pixels
from .table import ATTACKS

LONGEST_CHAIN = 4

_ALWAYS = {  # attacks that every query of a class gets
    "crop": ("crop",),
    "rotation": ("rotate",),
    "flip-crop": ("horizontal-flip", "crop"),
    "pasted": ("overlay-image",),
}
_ONE_OF = {  # attacks of which it gets one or two
    "perspective": ("perspective", "scale"),
    "colour": (
        "colour-jitter",
        "greyscale",
        "opacity",
        "invert-channel",
        "swap-channels",
        "shift-channels",
    ),
    "quality": ("encoding-quality", "pixelisation", "blur", "sharpen", "shuffle-pixels", "scale"),
    "overlay": ("overlay-stripes", "overlay-emoji", "overlay-text"),
    "frame": ("pad", "pad-to-square", "meme-format", "overlay-onto-screenshot"),
}
CLASSES = (*_ALWAYS, *_ONE_OF, "chain")


def attack_chain(image: Pixels, draw: Draw, names: list[str]) -> Pixels:
    """Apply attacks in the order given."""
    for name in names:
        image = ATTACKS[name](image, draw)
    return image


def random_chain(draw: Draw, least: int = 1) -> list[str]:
    """Names of ``least`` to four different attacks; more of them the greater the intensity."""
    most = max(least, 1 + round((LONGEST_CHAIN - 1) * draw.intensity))
    length = int(draw.rng.integers(least, most + 1))
    return [str(name) for name in draw.rng.choice(list(ATTACKS), length, replace=False)]


def attack_class(image: Pixels, draw: Draw, class_name: str) -> tuple[Pixels, list[str]]:
    """Apply attacks of one of ``CLASSES``; returns the picture and the attacks' names."""
    if class_name in _ALWAYS:
        names = list(_ALWAYS[class_name])
    elif class_name in _ONE_OF:
        count = 1 + int(draw.rng.random() < 0.3)
        names = [str(name) for name in draw.rng.choice(_ONE_OF[class_name], count, replace=False)]
    else:
        names = random_chain(draw, least=2)
    return attack_chain(image, draw, names), names
