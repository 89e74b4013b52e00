"""Attacks that lay something over the picture, or lay the picture over something."""

from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .draw import Draw, Pixels

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 !?#&"


def random_text(draw: Draw, least: int, most: int) -> str:
    return "".join(draw.rng.choice(list(_LETTERS), int(draw.rng.integers(least, most + 1))))


@lru_cache(maxsize=128)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def write(image: Pixels, text: str, position: tuple[int, int], size: int, colour: tuple[int, int, int]) -> Pixels:
    """A copy with a line of text, ``size`` pixels high, its upper left corner at (x, y)."""
    image, size, (x, y) = image.copy(), max(6, size), position
    strip = slice(max(0, y), max(0, y + 2 * size))
    canvas = Image.fromarray(image[strip])
    if canvas.height:
        ImageDraw.Draw(canvas).text((x, min(y, 0)), text, fill=colour, font=_font(size))
        image[strip] = np.asarray(canvas)
    return image


def overlay_image(image: Pixels, draw: Draw) -> Pixels:
    """The picture, reduced, on an unrelated one: to 70 % of the side, down to 25 % at full intensity."""
    canvas = draw.other().copy()
    height, width = canvas.shape[:2]
    share = 1.0 - draw.between(0.3, 0.75)
    h, w = max(8, round(height * share)), max(8, round(width * share))
    y, x = draw.rng.integers(0, height - h + 1), draw.rng.integers(0, width - w + 1)
    canvas[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return canvas


def overlay_stripes(image: Pixels, draw: Draw) -> Pixels:
    height, width = image.shape[:2]
    angle, period = draw.rng.uniform(0, np.pi), draw.between(0.08, 0.2) * max(height, width)
    place = np.arange(width) * (np.cos(angle) / period) + np.arange(height)[:, None] * (np.sin(angle) / period)
    covered = (place - np.floor(place) < draw.between(0.05, 0.5)).astype(np.uint8)
    see_through = draw.rng.uniform(0.0, 0.4)
    striped = see_through * np.arange(256)[:, None] + (1 - see_through) * np.array(draw.colour())
    return cv2.copyTo(cv2.LUT(image, striped.astype(np.uint8)[None]), covered, image.copy())


def overlay_emoji(image: Pixels, draw: Draw) -> Pixels:
    """One to four faces, drawn here, so that no font or picture is needed."""
    image = image.copy()
    height, width = image.shape[:2]
    for _ in range(1 + round(3 * draw.intensity * draw.rng.random())):
        radius = max(4, round(min(height, width) * draw.between(0.1, 0.25)))
        x, y = int(draw.rng.integers(0, width)), int(draw.rng.integers(0, height))
        _face(image, x, y, radius, draw)
    return image


def _face(image: Pixels, x: int, y: int, radius: int, draw: Draw) -> None:
    skin = (255, int(draw.rng.integers(170, 230)), int(draw.rng.integers(30, 110)))
    dark = (90, 50, 20)
    cv2.circle(image, (x, y), radius, skin, -1, cv2.LINE_AA)
    for side in (-1, 1):
        cv2.circle(image, (x + side * radius * 2 // 5, y - radius // 4), max(1, radius // 7), dark, -1, cv2.LINE_AA)
    start, end = ((10, 170), (190, 350), (0, 360))[draw.rng.integers(0, 3)]
    cv2.ellipse(
        image, (x, y + radius // 3), (radius // 2, radius // 4), 0, start, end, dark, max(1, radius // 8), cv2.LINE_AA
    )


def overlay_text(image: Pixels, draw: Draw) -> Pixels:
    height, width = image.shape[:2]
    for _ in range(1 + round(3 * draw.intensity * draw.rng.random())):
        size = round(draw.between(0.06, 0.22) * height)
        position = (int(draw.rng.integers(0, max(1, width // 2))), int(draw.rng.integers(0, max(1, height - size))))
        image = write(image, random_text(draw, 4, 18), position, size, draw.colour())
    return image
