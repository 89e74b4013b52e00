"""Attacks by grain and bad encoders. Chance per pixel comes from sheets made once, of which every draw takes another window."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from .draw import Draw, Pixels

_SHEET = 768
_DEVIATION = 32
_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) / 16 - 0.47


@lru_cache(maxsize=16)
def _sheet(channels: int, grain: int) -> NDArray[np.int16]:
    """Normal noise of deviation 32, its grains ``grain`` pixels wide: int16 [768, 768, channels]."""
    side = -(-_SHEET // grain)
    noise = np.random.default_rng([channels, grain]).standard_normal((side, side, channels)).astype(np.float32)
    noise = cv2.resize(noise, (_SHEET, _SHEET), interpolation=cv2.INTER_CUBIC).reshape(_SHEET, _SHEET, channels)
    return (noise * (_DEVIATION / noise.std())).astype(np.int16)


def noise_window(draw: Draw, height: int, width: int, channels: int = 3, grain: int = 1) -> NDArray[np.int16]:
    """Normal noise of deviation 32, int16 [height, width, channels], from a random place of the sheet."""
    sheet = _sheet(channels, grain)
    times = [1 + side // _SHEET for side in (height, width)]
    sheet = np.tile(sheet, (*times, 1)) if max(times) > 1 else sheet
    y, x = draw.rng.integers(0, sheet.shape[0] - height + 1), draw.rng.integers(0, sheet.shape[1] - width + 1)
    return sheet[y : y + height, x : x + width]


def _plus(image: Pixels, noise: NDArray[np.int16], deviation: float) -> Pixels:
    """The picture plus noise of that standard deviation, for all channels alike where it has one."""
    scaled = noise * np.int16(max(1, round(deviation * 256 / _DEVIATION))) >> 8
    return cv2.add(image, cv2.merge([scaled] * 3) if scaled.shape[2] == 1 else scaled, dtype=cv2.CV_8U)


def gaussian_noise(image: Pixels, draw: Draw) -> Pixels:
    return _plus(image, noise_window(draw, *image.shape[:2]), draw.between(8, 70))


def film_grain(image: Pixels, draw: Draw) -> Pixels:
    """Grey grains, two to four pixels wide."""
    grain = int(draw.rng.integers(2, 5))
    return _plus(image, noise_window(draw, *image.shape[:2], 1, grain), draw.between(8, 50))


def speckle(image: Pixels, draw: Draw) -> Pixels:
    """Noise that grows with brightness."""
    noise = noise_window(draw, *image.shape[:2])
    factor = 1.0 + noise * np.float32(draw.between(0.1, 0.7) / _DEVIATION)
    return np.clip(image * factor, 0, 255).astype(np.uint8)


def salt_and_pepper(image: Pixels, draw: Draw) -> Pixels:
    """A share of the pixels white or black, or every channel for itself."""
    channels = 1 if draw.rng.random() < 0.7 else 3
    noise = noise_window(draw, *image.shape[:2], channels)
    level = _DEVIATION * (2.3 - draw.between(0.1, 1.3))  # 2 to 30 % of the pixels
    salt, pepper = ((side > level).astype(np.uint8) * np.uint8(255) for side in (noise, -noise))
    if channels == 1:
        salt, pepper = (cv2.merge([dots] * 3) for dots in (salt, pepper))
    return cv2.subtract(cv2.max(image, salt), pepper)


def dither(image: Pixels, draw: Draw) -> Pixels:
    """Few levels of every channel, or of grey, the rest left to a pattern of dots."""
    height, width = image.shape[:2]
    steps = round(6 - draw.between(0, 5))
    pattern = np.tile(_BAYER, (-(-height // 4), -(-width // 4)))[:height, :width, None] * np.float32(255 / steps)
    toned = (
        image if draw.rng.random() < 0.6 else cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    )
    levels = np.round((toned + pattern) * np.float32(steps / 255))
    return np.clip(levels * np.float32(255 / steps), 0, 255).astype(np.uint8)


def jpeg(image: Pixels, quality: int) -> Pixels:
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)


def jpeg_again(image: Pixels, draw: Draw) -> Pixels:
    """Saved two or three times, the grid of blocks moved in between."""
    for _ in range(int(draw.rng.integers(2, 4))):
        y, x = (int(draw.rng.integers(0, min(8, side))) for side in image.shape[:2])
        image = jpeg(np.ascontiguousarray(image[y:, x:]), round(70 - draw.between(0, 62)))
    return image


def scan_lines(image: Pixels, draw: Draw) -> Pixels:
    """Every few rows or columns darker, as on an old tube."""
    period, axis = int(draw.rng.integers(2, 7)), int(draw.rng.integers(0, 2))
    factor = np.ones(image.shape[axis], np.float32)
    factor[::period] = 1 - draw.between(0.3, 0.9)
    return (image * (factor[:, None, None] if axis == 0 else factor[None, :, None])).astype(np.uint8)


def glitch(image: Pixels, draw: Draw) -> Pixels:
    """Bands of rows pushed sideways, one channel further than the others."""
    image = image.copy()
    height, width = image.shape[:2]
    for _ in range(2 + round(draw.between(0, 14))):
        top = int(draw.rng.integers(0, height))
        rows = slice(top, top + max(1, int(height * draw.rng.uniform(0.01, 0.15))))
        shift = int(width * draw.sign() * draw.between(0.03, 0.4))
        image[rows] = np.roll(image[rows], shift, axis=1)
        channel = int(draw.rng.integers(0, 3))
        image[rows, :, channel] = np.roll(image[rows, :, channel], 1 + shift // 3, axis=1)
    return image
