"""AugLy 1.0.0 with today's NumPy and Pillow, which have lost two names that it uses."""

from types import ModuleType

import numpy as np
from PIL import ImageDraw, ImageFont

from .libraries import library


def augly_image() -> ModuleType:
    """The module ``augly.image``. Raises: MissingExtraError."""
    if not hasattr(np, "float"):
        np.float = float
    if not hasattr(ImageFont.FreeTypeFont, "getsize_multiline"):
        ImageFont.FreeTypeFont.getsize_multiline = _getsize_multiline
    return library("augly.image")


def _getsize_multiline(font: ImageFont.FreeTypeFont, text: str) -> tuple[int, int]:
    """Width and height of the text in pixels, from the pen's start."""
    right, bottom = ImageDraw.Draw(ImageDraw.Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font)[2:]
    return round(right), round(bottom)
