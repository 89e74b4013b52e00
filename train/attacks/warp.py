"""Attacks that bend, stretch, or rearrange the picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .draw import Draw, Pixels

_GRID = 24


def _bent(image: Pixels, across: NDArray[np.float64], down: NDArray[np.float64], border: int) -> Pixels:
    """Every pixel taken from a place moved by (across, down), shares of the sides given on a coarse grid [24, 24]."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:_GRID, :_GRID] / (_GRID - 1)
    maps = []
    for place, moved, side in ((x, across, width), (y, down, height)):
        maps.append(cv2.resize(((place + moved) * (side - 1)).astype(np.float32), (width, height)))
    return cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=border)


def _border(draw: Draw) -> int:
    return (cv2.BORDER_REFLECT, cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT)[int(draw.rng.integers(0, 3))]


def lens(image: Pixels, draw: Draw) -> Pixels:
    """Barrel or pincushion, about a middle of its own."""
    y, x = np.mgrid[:_GRID, :_GRID] / (_GRID - 1) - draw.rng.uniform(0.4, 0.6, (2, 1, 1))
    strength = draw.between(0.15, 0.9) if draw.rng.random() < 0.6 else -draw.between(0.15, 0.6)
    bend = strength * (x**2 + y**2)
    return _bent(image, x * bend, y * bend, _border(draw))


def wave(image: Pixels, draw: Draw) -> Pixels:
    y, x = np.mgrid[:_GRID, :_GRID] / (_GRID - 1)
    reach = draw.between(0.01, 0.06)
    first, second, start = draw.rng.uniform(2, 14), draw.rng.uniform(2, 14), draw.rng.uniform(0, 6)
    across = reach * np.sin(first * y + start)
    down = reach * np.sin(second * x) if draw.rng.random() < 0.5 else 0 * x
    return _bent(image, across, down, _border(draw))


def crumple(image: Pixels, draw: Draw) -> Pixels:
    """Moved a little, everywhere another way."""
    coarse = draw.rng.normal(0, draw.between(0.008, 0.035), (2, 5, 5))
    return _bent(
        image, *(cv2.resize(field, (_GRID, _GRID), interpolation=cv2.INTER_CUBIC) for field in coarse), _border(draw)
    )


def swirl(image: Pixels, draw: Draw) -> Pixels:
    """Turned about a middle, less and less outwards."""
    y, x = np.mgrid[:_GRID, :_GRID] / (_GRID - 1) - draw.rng.uniform(0.35, 0.65, (2, 1, 1))
    angle = draw.sign() * draw.between(0.3, 1.6) * np.exp(-(x**2 + y**2) / draw.rng.uniform(0.05, 0.25))
    cosine, sine = np.cos(angle), np.sin(angle)
    return _bent(image, cosine * x - sine * y - x, sine * x + cosine * y - y, cv2.BORDER_REFLECT)


def shear(image: Pixels, draw: Draw) -> Pixels:
    """Sides leaning, the canvas as it was."""
    height, width = image.shape[:2]
    across, down = draw.sign() * draw.between(0.08, 0.5), draw.sign() * draw.between(0.0, 0.25)
    matrix = np.float32([[1, across, -across * height / 2], [down, 1, -down * width / 2]])
    border = cv2.BORDER_REFLECT_101 if draw.rng.random() < 0.3 else cv2.BORDER_CONSTANT
    return cv2.warpAffine(image, matrix, (width, height), borderMode=border, borderValue=draw.colour())


def aspect(image: Pixels, draw: Draw) -> Pixels:
    """One side up to 2.5 times as long, and bars that make up for it half the time."""
    height, width = image.shape[:2]
    factor = np.exp(draw.sign() * draw.between(0.15, 0.9))
    new = max(1, round(width * factor**0.5)), max(1, round(height / factor**0.5))
    image = cv2.resize(image, new if new != (width, height) else (width + 1, height), interpolation=cv2.INTER_LINEAR)
    if draw.rng.random() < 0.5:
        return image
    missing = max(new) - min(new)
    sides = (
        (missing // 2, missing - missing // 2, 0, 0)
        if new[0] > new[1]
        else (0, 0, missing // 2, missing - missing // 2)
    )
    return cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT, value=draw.colour())


def shuffle_tiles(image: Pixels, draw: Draw) -> Pixels:
    """Cut into tiles, of which some trade places or are mirrored."""
    rows, columns = (min(side, 2 + int(draw.rng.integers(0, 3))) for side in image.shape[:2])
    height, width = image.shape[0] // rows, image.shape[1] // columns
    places = [(r * height, c * width) for r in range(rows) for c in range(columns)]
    count = max(2, round(draw.between(0.2, 0.8) * len(places)))
    chosen = draw.rng.permutation(len(places))[:count]
    result = image.copy()
    for target, source in zip(chosen, np.roll(chosen, 1), strict=True):
        (y, x), (v, u) = places[target], places[source]
        result[y : y + height, x : x + width] = image[v : v + height, u : u + width]
    return result


def mirror_half(image: Pixels, draw: Draw) -> Pixels:
    """One half, and its mirror image in place of the other."""
    result = image.copy()
    side, axis = int(draw.rng.integers(0, 2)), int(draw.rng.integers(0, 2))
    view, half = (result if axis else result.swapaxes(0, 1)), image.shape[axis] // 2
    kept = view[:, :half] if side else view[:, view.shape[1] - half :]
    target = slice(view.shape[1] - half, None) if side else slice(0, half)
    view[:, target] = kept[:, ::-1].copy()
    return result


def strong_crop(image: Pixels, draw: Draw) -> Pixels:
    """A window of 30 % of the area, down to 10 % at full intensity."""
    height, width = image.shape[:2]
    share, ratio = 0.3 - draw.between(0.0, 0.2), np.exp(draw.rng.uniform(-0.3, 0.3))
    h, w = (int(np.clip(side * np.sqrt(share * r), 1, side)) for side, r in ((height, ratio), (width, 1 / ratio)))
    y, x = int(draw.rng.integers(0, height - h + 1)), int(draw.rng.integers(0, width - w + 1))
    return image[y : y + h, x : x + w].copy()
