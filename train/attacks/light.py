"""Attacks by light and weather in front of the picture: vignettes, leaks, haze, rain, snow, reflections, old paper."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .draw import Draw, Pixels
from .filters import smeared
from .noise import noise_window


def spread(coarse: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """A coarse field of values [h, w] or [h, w, 3] made smooth and as large as the picture."""
    return cv2.resize(cv2.resize(coarse, (32, 32), interpolation=cv2.INTER_CUBIC), (width, height))


def mixed(image: Pixels, other: Pixels, share: NDArray[np.float32]) -> Pixels:
    """``other`` to ``share`` (float32 [H, W], 0 to 1), the picture to the rest."""
    share = np.clip(share, 0.0, 1.0)
    return cv2.blendLinear(other, image, share, 1.0 - share)


def plain(image: Pixels, colour: tuple[int, int, int]) -> Pixels:
    """A picture of the same size in one colour."""
    return np.frombuffer(bytearray(bytes(colour) * (image.size // 3)), np.uint8).reshape(image.shape)


def _places(side: int = 32) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[:side, :side].astype(np.float32) / (side - 1)
    return y, x


def vignette(image: Pixels, draw: Draw) -> Pixels:
    """Corners dark, light, or of any colour."""
    y, x = _places()
    middle_y, middle_x = draw.rng.uniform(0.35, 0.65, 2)
    distance = ((y - middle_y) ** 2 + (x - middle_x) ** 2) * draw.between(1.0, 4.0)
    kind = draw.rng.random()
    colour = (0, 0, 0) if kind < 0.6 else (255, 255, 255) if kind < 0.8 else draw.colour()
    return mixed(image, plain(image, colour), spread(distance.astype(np.float32), *image.shape[:2]))


def fade(image: Pixels, draw: Draw) -> Pixels:
    """From one side to the other more and more of one colour, or of a second one too."""
    y, x = _places(8)
    angle, reach = draw.rng.uniform(0, 2 * np.pi), draw.between(0.3, 1.0)
    way = 0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    ground = plain(image, draw.colour())
    if draw.rng.random() < 0.3:
        ground = mixed(ground, plain(image, draw.colour()), spread(way.astype(np.float32), *image.shape[:2]))
        way = np.ones_like(way)
    return mixed(image, ground, spread((way * reach).astype(np.float32), *image.shape[:2]))


def light_leak(image: Pixels, draw: Draw) -> Pixels:
    """One to three coloured glows from outside, added to the picture."""
    y, x = _places()
    light = np.zeros((*y.shape, 3), np.float32)
    for _ in range(int(draw.rng.integers(1, 4))):
        middle_y, middle_x = draw.rng.uniform(-0.2, 1.2, 2)
        size = draw.rng.uniform(0.1, 0.6)
        blob = np.exp(-((y - middle_y) ** 2 + (x - middle_x) ** 2 * draw.rng.uniform(0.3, 3)) / size**2)
        warm = np.add(draw.colour(), (60, 20, 0))
        light += blob[..., None] * warm * draw.between(0.4, 1.2)
    return cv2.add(image, np.clip(spread(light, *image.shape[:2]), 0, 255).astype(np.uint8))


def haze(image: Pixels, draw: Draw) -> Pixels:
    """Fog in clouds, or smoke."""
    coarse = noise_window(draw, 6, 6, 1).astype(np.float32)[..., 0] / 32
    share = draw.between(0.25, 0.85) + 0.15 * spread(coarse, *image.shape[:2])
    level = int(draw.rng.integers(150, 250)) if draw.rng.random() < 0.8 else int(draw.rng.integers(20, 90))
    return mixed(image, plain(image, (level, level, level)), share)


def rain(image: Pixels, draw: Draw) -> Pixels:
    """Light streaks, all falling one way."""
    height, width = image.shape[:2]
    field = noise_window(draw, height, width, 1)[..., 0]
    drops = np.where(field > 68, 255, 0).astype(np.uint8)
    streaks = smeared(drops, draw.between(0.05, 0.15) * height, draw.rng.uniform(1.1, 2.0))
    streaks = cv2.convertScaleAbs(streaks, alpha=draw.between(1.5, 5.0))
    return cv2.add(cv2.convertScaleAbs(image, alpha=0.85), cv2.cvtColor(streaks, cv2.COLOR_GRAY2RGB))


def snow(image: Pixels, draw: Draw) -> Pixels:
    """White flakes or dust, of one to five pixels."""
    field = noise_window(draw, *image.shape[:2], 1, int(draw.rng.integers(1, 5)))[..., 0]
    flakes = np.clip((field - (80 - draw.between(0, 45))) * 12, 0, 255).astype(np.uint8)
    return cv2.add(image, cv2.cvtColor(flakes, cv2.COLOR_GRAY2RGB))


def texture(image: Pixels, draw: Draw) -> Pixels:
    """Paper, cloth, plaster or dirt multiplied in: noise of several grains, drawn out one way now and then."""
    height, width = image.shape[:2]
    field = np.zeros((height, width), np.float32)
    for grain in draw.rng.choice((1, 3, 6, 12, 24, 48), 3, replace=False):
        field += draw.rng.uniform(0.3, 1.0) * noise_window(draw, height, width, 1, int(grain))[..., 0]
    if draw.rng.random() < 0.4:
        field = cv2.blur(field, (1, 15) if draw.rng.random() < 0.5 else (15, 1)) * 2
    factor = 1 + field * np.float32(draw.between(0.12, 0.4) / 40)
    return np.clip(image * factor[..., None], 0, 255).astype(np.uint8)


def scratches(image: Pixels, draw: Draw) -> Pixels:
    """Thin light or dark lines, dust and creases of an old print."""
    image = image.copy()
    height, width = image.shape[:2]
    reach = max(height, width)
    for _ in range(3 + round(draw.between(0, 30))):
        start = draw.rng.uniform(0, (width, height))
        end = start + draw.rng.normal(0, reach * 0.25, 2) * ((1, 1) if draw.rng.random() < 0.5 else (0.05, 1))
        level = int(draw.rng.integers(200, 256)) if draw.rng.random() < 0.7 else int(draw.rng.integers(0, 60))
        points = [tuple(point.astype(int).tolist()) for point in (start, end)]
        cv2.line(image, *points, (level, level, level), 1, cv2.LINE_AA)
    return image
