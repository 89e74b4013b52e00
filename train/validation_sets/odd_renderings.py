"""Odd edits that draw the picture anew: letters, dots, stitches, few colours, pencil, panes of glass."""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .edit import Chance, Edit, Pixels

_COLOUR_MAPS = (
    cv2.COLORMAP_JET,
    cv2.COLORMAP_INFERNO,
    cv2.COLORMAP_RAINBOW,
    cv2.COLORMAP_OCEAN,
    cv2.COLORMAP_HOT,
    cv2.COLORMAP_TWILIGHT,
)
_LETTERS = "@#8&WM%oahkbd*xzc+=-:. "  # from dense to empty


def grey(pixels: Pixels) -> Pixels:
    """uint8 [H, W]."""
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def _cells(pixels: Pixels, size: float) -> Pixels:
    """One pixel for each cell of about that many pixels: its mean."""
    height, width = (max(2, round(side / size)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def thermal_camera(pixels: Pixels, chance: Chance) -> Pixels:
    heat = cv2.GaussianBlur(grey(pixels), (0, 0), chance.between(0.5, 2.5))
    return cv2.cvtColor(cv2.applyColorMap(heat, chance.one_of(_COLOUR_MAPS)), cv2.COLOR_BGR2RGB)


def letters(pixels: Pixels, chance: Chance) -> Pixels:
    """ASCII art, dark on light or light on dark, in one colour or the picture's."""
    small = _cells(pixels, max(pixels.shape[:2]) / chance.between(55, 90))
    light = chance.rng.random() < 0.5
    palette = _LETTERS if light else _LETTERS[::-1]
    size = 8
    page = Image.new("RGB", (small.shape[1] * size, small.shape[0] * size), "white" if light else "black")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size + 2)
    levels = grey(small).astype(int) * (len(palette) - 1) // 255
    coloured, ink = chance.rng.random() < 0.5, "black" if light else "white"
    for (row, column), level in np.ndenumerate(levels):
        fill = tuple(small[row, column].tolist()) if coloured else ink
        draw.text((column * size, row * size - 2), palette[level], fill=fill, font=font)
    return np.array(page)


def halftone(pixels: Pixels, chance: Chance) -> Pixels:
    """Dots on turned screens, one for each channel, as in coarse print."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width]
    pitch = max(height, width) / chance.between(45, 80)
    printed = np.empty_like(pixels)
    for channel, angle in enumerate(np.deg2rad((15, 45, 75))):
        u, v = (x * np.cos(angle) + y * np.sin(angle)) / pitch, (y * np.cos(angle) - x * np.sin(angle)) / pitch
        screen = 0.5 + 0.25 * (np.cos(2 * np.pi * u) + np.cos(2 * np.pi * v))
        printed[..., channel] = np.clip(255 * (0.5 + 4 * (pixels[..., channel] / 255 - screen)), 0, 255)
    return printed


def cross_stitch(pixels: Pixels, chance: Chance) -> Pixels:
    """Every cell one cross of thread on linen."""
    small = few_colours(_cells(pixels, max(pixels.shape[:2]) / chance.between(55, 85)), chance, 12)
    side = 7
    across = np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
    cross = (np.minimum(across, across[:, ::-1]) <= 1)[..., None]
    threads = small.repeat(side, 0).repeat(side, 1)
    mask = np.tile(cross, (*small.shape[:2], 1))
    return np.where(mask, threads, np.array([236, 230, 214], np.uint8))


def few_colours(pixels: Pixels, chance: Chance, count: int = 4) -> Pixels:
    """Every pixel gets the nearest of a few colours of the picture."""
    palette = Image.fromarray(pixels).quantize(count, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return np.array(palette.convert("RGB"))


def one_bit(pixels: Pixels, chance: Chance) -> Pixels:
    """Black and white points, error-diffused; or two colours of ink and paper."""
    points = np.array(Image.fromarray(pixels).convert("1"))[..., None]
    ink, paper = chance.one_of(
        (((0, 0, 0), (255, 255, 255)), ((20, 30, 90), (245, 235, 200)), ((15, 56, 15), (155, 188, 15)))
    )
    return np.where(points, np.array(paper, np.uint8), np.array(ink, np.uint8))


def water_colour(pixels: Pixels, chance: Chance) -> Pixels:
    return cv2.stylization(pixels, sigma_s=chance.between(30, 90), sigma_r=chance.between(0.3, 0.6))


def pencil(pixels: Pixels, chance: Chance) -> Pixels:
    drawn, coloured = cv2.pencilSketch(pixels, sigma_s=60, sigma_r=0.07, shade_factor=chance.between(0.03, 0.07))
    return coloured if chance.rng.random() < 0.5 else cv2.cvtColor(drawn, cv2.COLOR_GRAY2RGB)


def oil_paint(pixels: Pixels, chance: Chance) -> Pixels:
    """Every pixel gets the mean colour of the commonest brightness around it."""
    size, levels = 2 * chance.whole(2, 4) + 1, 8
    level = grey(pixels) // (256 // levels)
    counts = np.stack([cv2.blur((level == i).astype(np.float32), (size, size)) for i in range(levels)])
    sums = np.stack(
        [cv2.blur(pixels * (level == i)[..., None].astype(np.float32), (size, size)) for i in range(levels)]
    )
    best = counts.argmax(axis=0)[None]
    colours = np.take_along_axis(sums, best[..., None], 0)[0] / np.take_along_axis(counts, best, 0)[0][..., None]
    return np.clip(colours, 0, 255).astype(np.uint8)


def comic(pixels: Pixels, chance: Chance) -> Pixels:
    """Flat colours with black outlines."""
    flat = few_colours(cv2.bilateralFilter(pixels, 9, 60, 9), chance, chance.whole(5, 9))
    lines = cv2.adaptiveThreshold(
        cv2.medianBlur(grey(pixels), 5), 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, chance.between(4, 7)
    )
    return cv2.bitwise_and(flat, cv2.cvtColor(lines, cv2.COLOR_GRAY2RGB))


def stained_glass(pixels: Pixels, chance: Chance) -> Pixels:
    """Panes of one colour each, with lead between them."""
    height, width = pixels.shape[:2]
    seeds = chance.rng.uniform(0, 1, (chance.whole(350, 700), 2)) * (height - 1, width - 1)
    marks = np.full((height, width), 255, np.uint8)
    marks[tuple(seeds.astype(int).T)] = 0
    labels = cv2.distanceTransformWithLabels(marks, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1]
    count = np.bincount(labels.ravel())
    sums = np.stack([np.bincount(labels.ravel(), pixels[..., i].ravel()) for i in range(3)], axis=1)
    panes = (sums / np.maximum(count, 1)[:, None])[labels].astype(np.uint8)
    lead = cv2.dilate(labels.astype(np.float32), np.ones((2, 2))) != labels
    panes[lead] = 25
    return panes


EDITS: dict[str, Edit] = {
    "thermal-camera": thermal_camera,
    "letters": letters,
    "halftone": halftone,
    "cross-stitch": cross_stitch,
    "four-colours": few_colours,
    "one-bit": one_bit,
    "water-colour": water_colour,
    "pencil": pencil,
    "oil-paint": oil_paint,
    "comic": comic,
    "stained-glass": stained_glass,
}
