"""The classes of the wide set: edits that people make, by AugLy and albumentations."""

from . import albumentations_edits as albumentations
from . import augly_edits as augly
from .edit import CHAIN, Classes, Kind

_CLASSES: Classes = {
    "crop": augly.CROP,
    "strong-crop": augly.STRONG_CROP,
    "flip": augly.FLIP,
    "rotation": augly.ROTATION | albumentations.ROTATION,
    "perspective": augly.PERSPECTIVE | albumentations.PERSPECTIVE,
    "shape": augly.SHAPE,
    "text": augly.TEXT,
    "emoji": augly.EMOJI,
    "stripes": augly.STRIPES,
    "pasted": augly.PASTED,
    "covered": augly.COVERED,
    "meme": augly.MEME,
    "screenshot": augly.SCREENSHOT,
    "collage": {"Mosaic": albumentations.mosaic},
    "colour": augly.COLOUR | albumentations.COLOUR,
    "grey": albumentations.GREY,
    "tones": albumentations.TONES,
    "blur": augly.BLUR | albumentations.BLUR,
    "noise": augly.NOISE | albumentations.NOISE,
    "compression": augly.COMPRESSION | albumentations.COMPRESSION,
    "pixels": augly.PIXELS,
    "sharpen": albumentations.SHARPEN,
    "warp": albumentations.WARP,
    "weather": albumentations.WEATHER,
    "light": albumentations.LIGHT,
    "dropout": albumentations.DROPOUT,
}

_HARD = ("strong-crop", "rotation", "pasted", "covered", "screenshot", "collage", "dropout")
WIDE = Kind(_CLASSES, [*_CLASSES, *_HARD, *[CHAIN] * 6])
"""The hard classes twice as often as the others, and chains most of all, as in what people post."""
