"""Lines of text as stamps: words in many fonts, plain, outlined, with a shadow, or in a box."""

from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .draw import Draw
from .fonts import font_files
from .stamps import Stamp, two_colours

_HIGH, _LINE = 48, 60  # pixels, of letters as they are kept
_LINES = (
    "the and new sale best day love you this that what when never always happy today only free now look see my your",
    "world life time people good night morning photo news live breaking wow hello welcome to from with for not is are",
    "was be can will just like share follow buy win big small first last made in of on home city summer winter music",
    "food team game shop www.example.com #1 50% $9.99 2024 100k 12:45 !!! ... @user LOL OMG",
)
_WORDS = [word for line in _LINES for word in line.split()]


@cache
def _font(number: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_files()[number], _HIGH)


@lru_cache(maxsize=8192)
def _glyph(number: int, character: str) -> NDArray[np.uint8]:
    """A letter in a cell as wide as its pen moves on and as high as a line: uint8 [60, w]."""
    font = _font(number)
    canvas = Image.new("L", (max(1, round(font.getlength(character))), _LINE))
    ImageDraw.Draw(canvas).text((0, _LINE * 3 // 4), character, fill=255, font=font, anchor="ls")
    return np.asarray(canvas)


def phrase(draw: Draw, words: int) -> str:
    """That many words, in one of the usual ways of writing."""
    text = " ".join(_WORDS[i] for i in draw.rng.integers(0, len(_WORDS), words))
    return (text, text.upper(), text.capitalize(), text.title())[int(draw.rng.integers(0, 4))]


def text_mask(draw: Draw, text: str, size: int) -> NDArray[np.uint8]:
    """A line of a random font, letters about ``size`` pixels high, with room around it: uint8 [h, w]."""
    number = int(draw.rng.integers(0, len(font_files())))
    line = np.concatenate([_glyph(number, character) for character in text], axis=1)
    factor = max(6, size) / _HIGH
    width, height = max(1, round(line.shape[1] * factor)), max(1, round(_LINE * factor))
    line = cv2.resize(line, (width, height), interpolation=cv2.INTER_AREA if factor < 0.5 else cv2.INTER_LINEAR)
    room = max(1, size // 6)
    return cv2.copyMakeBorder(line, 0, 0, room, room, cv2.BORDER_CONSTANT, value=0)


def text_stamp(draw: Draw, text: str, size: int) -> Stamp:
    """A line of text: plain, outlined, with a shadow, or in a box that may let the picture through."""
    letters = text_mask(draw, text, size)
    light = draw.rng.random() < 0.5
    ink = ((255, 255, 255) if light else (0, 0, 0)) if draw.rng.random() < 0.5 else draw.colour()
    behind = ((0, 0, 0) if light else (255, 255, 255)) if draw.rng.random() < 0.7 else draw.colour()
    kind, room = draw.rng.random(), max(2, size // 5)
    if kind < 0.35:
        mask = letters
    elif kind < 0.6:
        mask = cv2.dilate(letters, np.ones((2 * (room // 2) + 1,) * 2, np.uint8))
    elif kind < 0.75:
        mask = cv2.max(letters, np.roll(letters, (room // 2, room // 2), axis=(0, 1)))
    else:
        mask = np.full_like(letters, 255 if draw.rng.random() < 0.6 else 150)
        mask = cv2.max(mask, letters)
    return Stamp(two_colours(letters, ink, behind), mask * np.float32(1 / 255))
