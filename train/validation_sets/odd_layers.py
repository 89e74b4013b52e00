"""Odd edits that lie over the picture or shade it: lettering everywhere, stickers, flares, scan lines, masks, other light."""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .edit import Chance, Edit, Pixels

_WORDS = ("SAMPLE", "PREVIEW", "do not copy", "DRAFT", "(c) 2021", "follow me", "LIMITED")


def _distance(pixels: Pixels, x: float, y: float):
    """float [H, W]: distance from the point at these fractions of the sides, 1 at half the diagonal."""
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(columns - x * width, rows - y * height) / (np.hypot(height, width) / 2)


def _mixed(first, second, share) -> Pixels:
    """``share`` (a number or [H, W]) of the second, the rest of the first."""
    share = np.asarray(share, np.float32)
    share = share[..., None] if share.ndim else share
    return np.clip(first * (1 - share) + second * share, 0, 255).astype(np.uint8)


def lettering(pixels: Pixels, chance: Chance) -> Pixels:
    """One line of text over and over, aslant, across everything."""
    height, width = pixels.shape[:2]
    side = int(1.5 * np.hypot(height, width))
    sheet = Image.new("L", (side, side))
    draw, size = ImageDraw.Draw(sheet), max(8, round(min(height, width) * chance.between(0.06, 0.13)))
    font, line = ImageFont.load_default(size), (chance.one_of(_WORDS) + "   ") * 40
    for row in range(0, side, round(size * chance.between(1.3, 2.2))):
        draw.text((-chance.whole(0, 6 * size), row), line, fill=255, font=font)
    turned = np.array(sheet.rotate(chance.between(-50, 50)))
    top, left = (side - height) // 2, (side - width) // 2
    mask = turned[top : top + height, left : left + width] / 255
    return _mixed(pixels, np.array(chance.colour()), mask * chance.between(0.5, 1.0))


def stickers(pixels: Pixels, chance: Chance) -> Pixels:
    """Dots, rings and stars in rows over the whole picture."""
    covered, (height, width) = pixels.copy(), pixels.shape[:2]
    pitch = min(height, width) / chance.between(4, 7)
    shape, colours = chance.whole(0, 2), [chance.colour() for _ in range(3)]
    angles = np.arange(10) * np.pi / 5
    star = np.stack([np.sin(angles), -np.cos(angles)], 1) * np.where(np.arange(10) % 2, 0.4, 1.0)[:, None]
    for number, (y, x) in enumerate(np.ndindex(int(height / pitch) + 1, int(width / pitch) + 1)):
        centre = ((x + 0.5 * (y % 2)) * pitch + pitch / 4, y * pitch + pitch / 4)
        colour, radius = colours[number % 3], 0.27 * pitch
        if shape == 2:
            cv2.fillPoly(covered, [(star * radius + centre).astype(np.int32)], colour, cv2.LINE_AA)
        else:
            thickness = -1 if shape == 0 else max(2, round(radius / 3))
            cv2.circle(covered, tuple(round(v) for v in centre), round(radius), colour, thickness, cv2.LINE_AA)
    return covered


def lens_flare(pixels: Pixels, chance: Chance) -> Pixels:
    """A bright spot, and ghosts on the line through the middle."""
    x, y = chance.between(0.1, 0.9), chance.between(0.1, 0.5)
    light = 330 * np.exp(-((_distance(pixels, x, y) / chance.between(0.15, 0.35)) ** 2))[..., None] * np.ones(3)
    for _ in range(chance.whole(4, 8)):
        along, size = chance.between(0.2, 2.0), chance.between(0.04, 0.14)
        inside = _distance(pixels, x + along * (0.5 - x), y + along * (0.5 - y)) < size
        light += inside[..., None] * 0.35 * np.array(chance.colour())
    return np.clip(pixels + light, 0, 255).astype(np.uint8)


def vignette(pixels: Pixels, chance: Chance) -> Pixels:
    distance = _distance(pixels, chance.between(0.35, 0.65), chance.between(0.35, 0.65))
    shade = 1 / (1 + np.exp((distance - chance.between(0.35, 0.5)) / chance.between(0.04, 0.1)))
    return _mixed(pixels, np.array(chance.one_of(((0, 0, 0), (255, 255, 255), (60, 30, 10)))), 1 - shade)


def scan_lines(pixels: Pixels, chance: Chance) -> Pixels:
    """The lines, the shifted colours and the rolling bar of an old television."""
    shift = max(1, round(pixels.shape[1] * chance.between(0.005, 0.015)))
    shifted = np.stack([np.roll(pixels[..., i], (i - 1) * shift, 1) for i in range(3)], axis=2)
    rows = np.arange(len(pixels))
    lines = 0.55 + 0.45 * np.cos(2 * np.pi * rows / chance.between(3, 6))
    bar = 1 + 0.5 * np.exp(-(((rows / len(rows) - chance.between(0, 1)) / 0.08) ** 2))
    return np.clip(shifted * (lines * bar)[:, None, None] * 1.3, 0, 255).astype(np.uint8)


def print_and_scan(pixels: Pixels, chance: Chance) -> Pixels:
    """Paper grain, faded ink, dust, a little askew, and the light of the lamp at one side."""
    height, width = pixels.shape[:2]
    ink = 40 + pixels * chance.between(0.55, 0.75)
    grain = cv2.GaussianBlur(chance.rng.normal(0, 40, (height, width)).astype(np.float32), (0, 0), 1)
    lamp = np.linspace(chance.between(0.75, 1.0), chance.between(1.0, 1.2), width)[None, :, None]
    page = np.clip((cv2.GaussianBlur(ink, (0, 0), 0.9) + grain[..., None]) * lamp, 0, 255).astype(np.uint8)
    for _ in range(chance.whole(10, 30)):
        centre = (chance.whole(0, width), chance.whole(0, height))
        cv2.circle(page, centre, chance.whole(0, 2), (chance.whole(0, 255),) * 3, -1, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), chance.between(-4, 4), 0.93)
    return cv2.warpAffine(page, turn, (width, height), borderValue=(238, 238, 232))


def double_exposure(pixels: Pixels, chance: Chance) -> Pixels:
    other = cv2.resize(chance.other(), pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    if chance.rng.random() < 0.5:  # on film, light adds up
        return 255 - (((255 - pixels.astype(int)) * (255 - other.astype(int) * 2 // 3)) // 255).astype(np.uint8)
    return _mixed(pixels, other, chance.between(0.35, 0.55))


def cut_out(pixels: Pixels, chance: Chance) -> Pixels:
    """A circle, heart or star of the picture on one colour."""
    angles = np.linspace(0, 2 * np.pi, 200)
    heart = np.stack(
        [16 * np.sin(angles) ** 3, -13 * np.cos(angles) + 5 * np.cos(2 * angles) + 2 * np.cos(3 * angles)], 1
    )
    star = np.stack([np.sin(angles), -np.cos(angles)], 1) * (1 + 0.3 * np.cos(5 * angles))[:, None]
    outline = chance.one_of((np.stack([np.sin(angles), np.cos(angles)], 1), heart / 16, star / 1.1))
    height, width = pixels.shape[:2]
    points = outline * (0.48 * width, 0.48 * height) + (width / 2, height / 2)
    mask = cv2.fillPoly(np.zeros((height, width), np.uint8), [points.astype(np.int32)], 255, cv2.LINE_AA)
    return _mixed(np.array(chance.colour()) * np.ones_like(pixels), pixels, mask / 255)


def tilt_shift(pixels: Pixels, chance: Chance) -> Pixels:
    """Sharp in a band only, in stronger colours, as a model railway is seen."""
    rows = np.abs(np.linspace(0, 1, len(pixels)) - chance.between(0.35, 0.65))
    blurred = cv2.GaussianBlur(pixels, (0, 0), max(pixels.shape[:2]) * chance.between(0.015, 0.03))
    toy = _mixed(pixels, blurred, np.clip((rows - 0.08) / 0.15, 0, 1)[:, None] * np.ones(pixels.shape[1]))
    hsv = cv2.cvtColor(toy, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = np.clip(hsv[..., 1] * 1.7, 0, 255)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


EDITS: dict[str, Edit] = {
    "lettering": lettering,
    "stickers": stickers,
    "lens-flare": lens_flare,
    "vignette": vignette,
    "scan-lines": scan_lines,
    "print-and-scan": print_and_scan,
    "double-exposure": double_exposure,
    "cut-out": cut_out,
    "tilt-shift": tilt_shift,
}
