"""Odd edits that move the pixels: swirls, ripples, tiles of glass, crumpled paper, stretched and swapped parts."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .edit import Chance, Edit, Pixels

Grid = NDArray[np.float32]
"""Coordinates [H, W] of the pixels to take, in pixels."""


def moved(pixels: Pixels, x: Grid, y: Grid) -> Pixels:
    """The picture whose pixels are taken from (x, y); what lies outside is mirrored."""
    maps = np.asarray(x, np.float32), np.asarray(y, np.float32)
    return cv2.remap(pixels, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def grid(pixels: Pixels) -> tuple[Grid, Grid]:
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return x, y


def _around(move: Callable[[Chance], Callable[[Grid], tuple[Grid, Grid]]]) -> Edit:
    """An edit in polar coordinates around a point near the middle.

    move: draws a function of the radius (1 at half the shorter side) that gives (a factor of the radius, an angle to add).
    """

    def edit(pixels: Pixels, chance: Chance) -> Pixels:
        x, y = grid(pixels)
        height, width = pixels.shape[:2]
        x0, y0 = width * chance.between(0.35, 0.65), height * chance.between(0.35, 0.65)
        dx, dy = x - x0, y - y0
        factor, angle = move(chance)(np.hypot(dx, dy) / (min(height, width) / 2))
        cos, sin = factor * np.cos(angle), factor * np.sin(angle)
        return moved(pixels, x0 + cos * dx - sin * dy, y0 + sin * dx + cos * dy)

    return edit


def _swirl(chance: Chance) -> Callable[[Grid], tuple[Grid, Grid]]:
    turn = chance.one_of((-1, 1)) * chance.between(1.0, 2.5)
    return lambda radius: (np.ones_like(radius), turn * np.exp(-2 * radius**2))


def _ripples(chance: Chance) -> Callable[[Grid], tuple[Grid, Grid]]:
    waves, depth = chance.between(3, 7), chance.between(0.03, 0.07)
    return lambda radius: (1 + depth * np.sin(2 * np.pi * waves * radius), np.zeros_like(radius))


def _bulge(chance: Chance) -> Callable[[Grid], tuple[Grid, Grid]]:
    strength = chance.one_of((-0.8, 0.6)) * chance.between(0.6, 1.0)
    return lambda radius: (1 - strength * np.exp(-3 * radius**2), np.zeros_like(radius))


def glass_tiles(pixels: Pixels, chance: Chance) -> Pixels:
    """Every tile shows a little more than its own part."""
    x, y = grid(pixels)
    tile, zoom = max(8.0, min(pixels.shape[:2]) / chance.between(5, 10)), chance.between(0.4, 1.0)
    return moved(pixels, *(axis + zoom * ((axis % tile) - tile / 2) for axis in (x, y)))


def waving_flag(pixels: Pixels, chance: Chance) -> Pixels:
    x, y = grid(pixels)
    height, width = pixels.shape[:2]
    phase = 2 * np.pi * (chance.between(1.5, 3) * x / width + chance.between(-0.3, 0.3) * y / height)
    wavy = moved(pixels, x, y + height * chance.between(0.04, 0.09) * np.sin(phase))
    light = 1 + chance.between(0.15, 0.35) * np.cos(phase)
    return np.clip(wavy * light[..., None], 0, 255).astype(np.uint8)


def crumpled_paper(pixels: Pixels, chance: Chance) -> Pixels:
    """Flat facets between random creases, each shifted and lit in its own way."""
    x, y = grid(pixels)
    side = max(pixels.shape[:2])
    shift_x, shift_y, light = (np.zeros_like(x) for _ in range(3))
    for _ in range(chance.whole(10, 18)):
        angle, place = chance.between(0, 2 * np.pi), chance.between(0.2, 0.8) * side
        across = x * np.cos(angle) + y * np.sin(angle) - place
        fold = np.abs(((across / (side * chance.between(0.3, 0.8))) % 2) - 1) - 0.5
        shift_x += fold * np.cos(angle)
        shift_y += fold * np.sin(angle)
        light += np.sign(across) * chance.between(-0.08, 0.08)
    depth = side * chance.between(0.008, 0.016)
    paper = moved(pixels, x + depth * shift_x, y + depth * shift_y)
    return np.clip(paper * (1 + light)[..., None], 0, 255).astype(np.uint8)


def stretched_parts(pixels: Pixels, chance: Chance) -> Pixels:
    """Some columns and rows become wider and others narrower, as resizing by content does."""
    axes = []
    for axis, length in zip(grid(pixels), (pixels.shape[1], pixels.shape[0]), strict=True):
        knots = np.cumsum([0, *np.exp(chance.rng.uniform(-0.9, 0.9, 6))])
        axes.append(np.interp(axis, np.linspace(0, length - 1, 7), knots / knots[-1] * (length - 1)))
    return moved(pixels, *axes)


def kaleidoscope(pixels: Pixels, chance: Chance) -> Pixels:
    """One half, and its mirror image in the place of the other."""
    axis = chance.whole(0, 1)
    keep = pixels if chance.rng.random() < 0.5 else np.flip(pixels, axis)
    half = np.take(keep, range(-(-pixels.shape[axis] // 2)), axis)
    return np.ascontiguousarray(np.concatenate([half, np.flip(half, axis)], axis))


def swapped_halves(pixels: Pixels, chance: Chance) -> Pixels:
    axis = chance.whole(0, 1)
    return np.roll(pixels, round(pixels.shape[axis] * chance.between(0.35, 0.65)), axis)


def shifted_strips(pixels: Pixels, chance: Chance) -> Pixels:
    """Strips that have slid against each other, as after a shredder or a bad transmission."""
    strips = np.array_split(pixels, chance.whole(6, 16))
    most = pixels.shape[1] * chance.between(0.05, 0.15)
    return np.concatenate([np.roll(strip, round(most * chance.between(-1, 1)), 1) for strip in strips])


EDITS: dict[str, Edit] = {
    "swirl": _around(_swirl),
    "ripples": _around(_ripples),
    "bulge": _around(_bulge),
    "glass-tiles": glass_tiles,
    "waving-flag": waving_flag,
    "crumpled-paper": crumpled_paper,
    "stretched-parts": stretched_parts,
    "kaleidoscope": kaleidoscope,
    "swapped-halves": swapped_halves,
    "shifted-strips": shifted_strips,
}
