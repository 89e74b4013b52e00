"""Attacks that give every pixel another colour by a rule: curves, palettes, casts, filters of photo apps."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .draw import Draw, Pixels

_LEVELS = np.arange(256, dtype=np.float32)


def _curve(image: Pixels, values: NDArray[np.float32]) -> Pixels:
    """Each level 0 to 255 replaced by ``values``: [256], or [256, 3] with a curve for every channel."""
    table = np.clip(values, 0, 255).astype(np.uint8).reshape(1, 256, -1)
    return cv2.LUT(image, table)


def grey(image: Pixels) -> Pixels:
    """uint8 [H, W]."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def solarise(image: Pixels, draw: Draw) -> Pixels:
    """A share of the picture, the brightest, as a negative."""
    threshold = float(np.quantile(image[::4, ::4], 1.0 - draw.between(0.1, 0.8)))
    return _curve(image, np.where(threshold <= _LEVELS, 255 - _LEVELS, _LEVELS))


def posterise(image: Pixels, draw: Draw) -> Pixels:
    """Two to eight levels of each channel."""
    steps = round(7 - draw.between(0, 6))
    return _curve(image, np.round(_LEVELS / 255 * steps) * (255 / steps))


def gamma(image: Pixels, draw: Draw) -> Pixels:
    return _curve(image, 255 * (_LEVELS / 255) ** np.exp(draw.sign() * draw.between(0.2, 1.4)))


def negative(image: Pixels, draw: Draw) -> Pixels:
    return 255 - image


def black_and_white(image: Pixels, draw: Draw) -> Pixels:
    """Two tones, parted at a level of the picture's own."""
    level = float(np.quantile(image[::4, ::4], draw.rng.uniform(0.25, 0.75)))
    values = np.clip((_LEVELS - level) * draw.between(3.0, 60.0) + 127, 0, 255)
    return cv2.cvtColor(_curve(grey(image), values), cv2.COLOR_GRAY2RGB)


def duotone(image: Pixels, draw: Draw) -> Pixels:
    """Two or three colours, from the dark to the light parts."""
    count = int(draw.rng.integers(2, 4))
    colours = np.array([draw.colour() for _ in range(count)], np.float32)
    colours[0] *= 0.5
    colours[-1] = 255 - 0.5 * (255 - colours[-1])
    stops = np.linspace(0, 255, count)
    values = np.stack([np.interp(_LEVELS, stops, colours[:, channel]) for channel in range(3)], axis=1)
    toned = _curve(cv2.cvtColor(grey(image), cv2.COLOR_GRAY2RGB), values)
    share = 0.4 + draw.between(0.1, 0.6)
    return cv2.addWeighted(toned, share, image, 1 - share, 0)


def false_colour(image: Pixels, draw: Draw) -> Pixels:
    """Brightness through one of OpenCV's colour maps."""
    mapped = cv2.applyColorMap(grey(image), int(draw.rng.integers(0, 22)))
    share = 0.3 + draw.between(0.1, 0.7)
    return cv2.addWeighted(mapped, share, image, 1 - share, 0)


def palette(image: Pixels, draw: Draw) -> Pixels:
    """Every pixel by the nearest of a few colours, of the picture's own or of any."""
    count = round(24 - draw.between(0, 20))
    if draw.rng.random() < 0.7:
        height, width = image.shape[:2]
        colours = image[draw.rng.integers(0, height, count), draw.rng.integers(0, width, count)].astype(np.float32)
    else:
        colours = draw.rng.uniform(0, 255, (count, 3)).astype(np.float32)
    axis = np.arange(16, dtype=np.float32) * 17
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    nearest = (cube @ colours.T - 0.5 * (colours**2).sum(axis=1)).argmax(axis=1)
    sixteenths = (image >> 4).astype(np.uint16)
    return colours.astype(np.uint8)[nearest][(sixteenths[..., 0] << 8) | (sixteenths[..., 1] << 4) | sixteenths[..., 2]]


def hue_shift(image: Pixels, draw: Draw) -> Pixels:
    """All hues turned by up to half the circle."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    turn = draw.sign() * draw.between(10, 90)
    table = np.stack([(_LEVELS + turn) % 180, _LEVELS, _LEVELS], axis=1)
    return cv2.cvtColor(_curve(hsv, table), cv2.COLOR_HSV2RGB)


def saturation(image: Pixels, draw: Draw) -> Pixels:
    """Nearly grey, or garish."""
    pale = cv2.cvtColor(grey(image), cv2.COLOR_GRAY2RGB)
    share = draw.between(0.2, 0.95) if draw.rng.random() < 0.5 else -draw.between(0.3, 3.0)
    return cv2.addWeighted(image, 1 - share, pale, share, 0)


def colour_cast(image: Pixels, draw: Draw) -> Pixels:
    """Another white balance: a gain and an offset for every channel."""
    reach = draw.between(0.1, 0.7)
    gain, offset = 1 + draw.rng.uniform(-reach, reach, 3), 60 * draw.rng.uniform(-reach, reach, 3)
    return _curve(image, _LEVELS[:, None] * gain + offset)


def channel_mix(image: Pixels, draw: Draw) -> Pixels:
    """Each channel a random mixture of all three."""
    matrix = np.eye(3) + draw.between(0.2, 1.2) * draw.rng.uniform(-1, 1, (3, 3))
    matrix /= np.maximum(0.4, matrix.sum(axis=1, keepdims=True))
    return cv2.transform(image, matrix)


def exposure(image: Pixels, draw: Draw) -> Pixels:
    """Far too bright, dark, flat or hard."""
    kind, strength = int(draw.rng.integers(0, 4)), draw.between(0.15, 1.0)
    scale = (1 + 2 * strength, 1 - 0.85 * strength, 1 - 0.85 * strength, 1 + 4 * strength)[kind]
    pivot = (0, 0, draw.rng.uniform(40, 215), draw.rng.uniform(70, 185))[kind]
    return _curve(image, (_LEVELS - pivot) * scale + pivot)


def tone_curve(image: Pixels, draw: Draw) -> Pixels:
    """A rising curve for every channel, as the filters of photo apps have."""
    stops = np.linspace(0, 255, 5)
    reach = draw.between(15, 75)
    moved = np.sort(stops[:, None] + draw.rng.uniform(-reach, reach, (5, 3)), axis=0)
    return _curve(image, np.stack([np.interp(_LEVELS, stops, moved[:, c]) for c in range(3)], axis=1))


def equalise(image: Pixels, draw: Draw) -> Pixels:
    """Brightness spread out evenly, over the whole or locally (the look of HDR)."""
    luma_chroma = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    lightness = np.ascontiguousarray(luma_chroma[..., 0])
    if draw.rng.random() < 0.5 or min(lightness.shape) < 16:
        luma_chroma[..., 0] = cv2.equalizeHist(lightness)
    else:
        luma_chroma[..., 0] = cv2.createCLAHE(draw.between(2.0, 12.0), (4, 4)).apply(lightness)
    return cv2.cvtColor(luma_chroma, cv2.COLOR_YCrCb2RGB)


def sepia(image: Pixels, draw: Draw) -> Pixels:
    """Brown on faded paper."""
    brown = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
    share, fading = 0.5 + draw.between(0.1, 0.5), draw.between(0.0, 0.5)
    toned = cv2.transform(image, share * brown + (1 - share) * np.eye(3))
    paper = np.array([228, 208, 170]) + draw.rng.uniform(-20, 20, 3)
    return _curve(toned, _LEVELS[:, None] * (1 - fading) + fading * paper)
