"""Emoji as stamps: real ones where the system has a colour font, else the symbols of DejaVu Sans, painted."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .draw import Draw
from .fonts import colour_emoji_font, font_files
from .stamps import Stamp, two_colours

_SYMBOLS = "☀☁☂☃☎☕☠☢☣☮☯☺☻☹♀♂♥♦♣♠♪♫♻⚑⚓⚔⚠⚡✂✈✉✌✍✎✓✔✖✿❄❤➜★☆"
_FACES = "".join(chr(code) for code in range(0x1F600, 0x1F641) if code not in (0x1F624, 0x1F62C))
_EMOJI = 2 * _FACES + _SYMBOLS
_COLOURED = (*range(0x1F300, 0x1F650), *range(0x1F680, 0x1F6D0), *range(0x1F90C, 0x1FA00))
_COLOURED_SHARE = 0.75
_BITMAP = 109  # the one size of Noto Color Emoji, pixels
_KEPT = 72  # size in which they are kept


@lru_cache(maxsize=len(_COLOURED))
def _coloured(code: int) -> Stamp | None:
    """An emoji of the colour font, 72 pixels wide; None where that has none."""
    font = ImageFont.truetype(colour_emoji_font(), _BITMAP)
    canvas = Image.new("RGBA", (136, 128))
    ImageDraw.Draw(canvas).text((0, 0), chr(code), font=font, embedded_color=True)
    pixels = np.asarray(canvas)
    if pixels[..., 3].mean() < 5:
        return None
    size = _KEPT, round(_KEPT * 128 / 136)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return Stamp(np.ascontiguousarray(small[..., :3]), small[..., 3] * np.float32(1 / 255))


@lru_cache(maxsize=len(_EMOJI))
def _symbol(character: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The lines of a symbol of DejaVu Sans and the shape that they enclose, both uint8 [h, w], some 90 pixels high."""
    font = ImageFont.truetype(next(path for path in font_files() if path.name == "DejaVuSans.ttf"), 96)
    left, top, right, bottom = font.getbbox(character)
    canvas = Image.new("L", (right - left + 8, bottom - top + 8))
    ImageDraw.Draw(canvas).text((4 - left, 4 - top), character, fill=255, font=font)
    lines = np.asarray(canvas)
    outlines, _ = cv2.findContours(
        cv2.threshold(lines, 100, 255, cv2.THRESH_BINARY)[1], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    return lines, cv2.drawContours(lines.copy(), outlines, -1, 255, -1)


def emoji_stamp(draw: Draw, size: int) -> Stamp:
    """A sticker, ``size`` pixels wide or high."""
    if colour_emoji_font() is not None and draw.rng.random() < _COLOURED_SHARE:
        stamp = _coloured(_COLOURED[int(draw.rng.integers(0, len(_COLOURED)))])
        if stamp is not None:
            return stamp.resized(size, round(size * stamp.mask.shape[0] / stamp.mask.shape[1]))
    return _painted(draw, size)


def _painted(draw: Draw, size: int) -> Stamp:
    """A face or another symbol: lines on a filled shape, most of them yellow or red."""
    lines, filled = _symbol(_EMOJI[int(draw.rng.integers(0, len(_EMOJI)))])
    solid = lines.mean() > 0.6 * filled.mean()
    skin = (255, int(draw.rng.integers(170, 225)), int(draw.rng.integers(20, 110)))
    fill = skin if draw.rng.random() < 0.6 else (230, 30, 50) if draw.rng.random() < 0.4 else draw.colour()
    ink = fill if solid else (70, 40, 15) if draw.rng.random() < 0.7 else (0, 0, 0)
    factor = size / max(lines.shape)
    width, height = (max(1, round(side * factor)) for side in lines.shape[::-1])
    lines, filled = (cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) for mask in (lines, filled))
    return Stamp(two_colours(lines, ink, fill), filled * np.float32(1 / 255))
