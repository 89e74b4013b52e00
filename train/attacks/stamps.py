"""Small pictures with a mask, to lay over a photograph: lines of text in many fonts, emoji, logos."""

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from string import ascii_letters, digits

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .draw import Draw, Pixels

_SYMBOLS = "☀☁☂☃☎☕☠☢☣☮☯☺☻☹♀♂♥♦♣♠♪♫♻⚑⚓⚔⚠⚡✂✈✉✌✍✎✓✔✖✿❄❤➜★☆"
_FACES = "".join(chr(code) for code in range(0x1F600, 0x1F641) if code not in (0x1F624, 0x1F62C))
_EMOJI = 2 * _FACES + _SYMBOLS
_LINES = (
    "the and new sale best day love you this that what when never always happy today only free now look see my your",
    "world life time people good night morning photo news live breaking wow hello welcome to from with for not is are",
    "was be can will just like share follow buy win big small first last made in of on home city summer winter music",
    "food team game shop www.example.com #1 50% $9.99 2024 100k 12:45 !!! ... @user LOL OMG",
)
_WORDS = [word for line in _LINES for word in line.split()]


Colour = tuple[int, int, int]

_HIGH, _LINE = 48, 60  # pixels, of letters as they are kept


@dataclass(frozen=True)
class Stamp:
    """colour: uint8 RGB [h, w, 3]; mask: float32 [h, w], 0 (see through) to 1."""

    colour: Pixels
    mask: NDArray[np.float32]

    def resized(self, width: int, height: int) -> "Stamp":
        size = max(1, width), max(1, height)
        way = cv2.INTER_AREA if width < self.mask.shape[1] else cv2.INTER_LINEAR
        return Stamp(cv2.resize(self.colour, size, interpolation=way), cv2.resize(self.mask, size, interpolation=way))

    def turned(self, angle: float) -> "Stamp":
        """Turned by ``angle`` degrees, made larger so that nothing is cut off."""
        height, width = self.mask.shape
        cosine, sine = abs(np.cos(np.deg2rad(angle))), abs(np.sin(np.deg2rad(angle)))
        w, h = int(width * cosine + height * sine) + 2, int(width * sine + height * cosine) + 2
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
        matrix[:, 2] += (w - width) / 2, (h - height) / 2
        colour = cv2.warpAffine(self.colour, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)
        return Stamp(colour, cv2.warpAffine(self.mask, matrix, (w, h)))


def two_colours(lines: NDArray[np.uint8], ink: Colour, ground: Colour) -> Pixels:
    """Lines, uint8 [h, w], in one colour on another: uint8 [h, w, 3]."""
    share = np.arange(256)[:, None] / 255
    table = share * np.array(ink) + (1 - share) * np.array(ground)
    return cv2.LUT(cv2.merge([lines] * 3), table.astype(np.uint8)[None])


def lay(image: Pixels, stamp: Stamp, x: int, y: int, opacity: float = 1.0) -> None:
    """Lay a stamp over the picture, in place, its upper left corner at (x, y); what reaches beyond is cut off."""
    height, width = stamp.mask.shape
    left, top, right, bottom = max(0, x), max(0, y), min(image.shape[1], x + width), min(image.shape[0], y + height)
    if left >= right or top >= bottom:
        return
    part = image[top:bottom, left:right]
    inside = slice(top - y, bottom - y), slice(left - x, right - x)
    share = np.ascontiguousarray(stamp.mask[inside]) * np.float32(opacity)
    part[:] = cv2.blendLinear(np.ascontiguousarray(stamp.colour[inside]), np.ascontiguousarray(part), share, 1 - share)


@cache
def font_files() -> tuple[Path, ...]:
    """Fonts with Latin letters: those that come with matplotlib, then the system's (a hundred at most), by file name."""
    import matplotlib
    from matplotlib.font_manager import findSystemFonts

    own = sorted((Path(matplotlib.get_data_path()) / "fonts" / "ttf").glob("*.ttf"))
    names = {path.name for path in own}
    system = sorted(
        (path for path in map(Path, findSystemFonts()) if path.name not in names), key=lambda path: path.name
    )
    return tuple(filter(_writes_latin, [*own, *system[:100]]))


def _writes_latin(path: Path) -> bool:
    try:
        font = ImageFont.truetype(path, 16)
        missing, *masks = (bytes(font.getmask(character)) for character in "\uffff" + ascii_letters + digits)
    except OSError:
        return False
    return len(set(masks)) > len(masks) // 2 and all(any(mask) and mask != missing for mask in masks)


@cache
def _font(number: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_files()[number], _HIGH)


@lru_cache(maxsize=4096)
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
    """A face or another symbol as a sticker: lines on a filled shape, most of them yellow or red."""
    lines, filled = _symbol(_EMOJI[int(draw.rng.integers(0, len(_EMOJI)))])
    solid = lines.mean() > 0.6 * filled.mean()
    skin = (255, int(draw.rng.integers(170, 225)), int(draw.rng.integers(20, 110)))
    fill = skin if draw.rng.random() < 0.6 else (230, 30, 50) if draw.rng.random() < 0.4 else draw.colour()
    ink = fill if solid else (70, 40, 15) if draw.rng.random() < 0.7 else (0, 0, 0)
    factor = size / max(lines.shape)
    width, height = (max(1, round(side * factor)) for side in lines.shape[::-1])
    lines, filled = (cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) for mask in (lines, filled))
    return Stamp(two_colours(lines, ink, fill), filled * np.float32(1 / 255))


def polygon(draw: Draw, size: int) -> NDArray[np.uint8]:
    """A filled shape: rounded square, disc, star or regular polygon, uint8 [size, size]."""
    mask = np.zeros((size, size), np.uint8)
    middle, radius = size // 2, max(1, size // 2 - 1)
    kind = int(draw.rng.integers(0, 4))
    if kind == 0:
        return rounded_rectangle(size, size, size // 4)
    if kind == 1:
        return cv2.circle(mask, (middle, middle), radius, 255, -1, cv2.LINE_AA)
    corners = int(draw.rng.integers(3, 9))
    angles = np.arange(2 * corners) * np.pi / corners + draw.rng.uniform(0, 2 * np.pi)
    reach = np.where(
        np.arange(2 * corners) % 2, draw.rng.uniform(0.35, 0.7) if kind == 3 else np.cos(np.pi / corners), 1.0
    )
    points = middle + radius * reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return cv2.fillPoly(mask, [points.round().astype(np.int32)], 255, cv2.LINE_AA)


def rounded_rectangle(width: int, height: int, radius: int) -> NDArray[np.uint8]:
    """Filled, uint8 [height, width]."""
    mask = np.zeros((height, width), np.uint8)
    radius = min(radius, width // 2, height // 2)
    cv2.rectangle(mask, (radius, 0), (width - 1 - radius, height - 1), 255, -1)
    cv2.rectangle(mask, (0, radius), (width - 1, height - 1 - radius), 255, -1)
    for x in (radius, width - 1 - radius):
        for y in (radius, height - 1 - radius):
            cv2.circle(mask, (x, y), radius, 255, -1, cv2.LINE_AA)
    return mask


def logo_stamp(draw: Draw, size: int) -> Stamp:
    """One to three shapes inside each other, or rings, in plain colours; some with a name beside them."""
    side = max(8, size)
    colour, mask = np.full((side, side, 3), draw.colour(), np.uint8), polygon(draw, side)
    inner = side
    for _ in range(int(draw.rng.integers(0, 3))):
        inner = max(4, int(inner * draw.rng.uniform(0.4, 0.8)))
        lay(
            colour,
            Stamp(np.full((inner, inner, 3), draw.colour(), np.uint8), polygon(draw, inner).astype(np.float32) / 255),
            (side - inner) // 2,
            (side - inner) // 2,
        )
    stamp = Stamp(colour, mask.astype(np.float32) / 255)
    if draw.rng.random() < 0.5:
        return stamp
    name = text_mask(draw, phrase(draw, 1), max(6, side // 2))
    ink = np.full((side, name.shape[1], 3), draw.colour(), np.uint8)
    beside = np.zeros((side, name.shape[1]), np.float32)
    rows = min(side, name.shape[0])
    beside[(side - rows) // 2 : (side - rows) // 2 + rows] = name[:rows].astype(np.float32) / 255
    return Stamp(np.concatenate([colour, ink], axis=1), np.concatenate([stamp.mask, beside], axis=1))
