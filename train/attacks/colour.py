"""Attacks that change colours and leave every pixel in its place."""

import cv2
import numpy as np

from .draw import Draw, Pixels


def colour_jitter(image: Pixels, draw: Draw) -> Pixels:
    """Brightness, contrast, saturation and hue."""
    levels = np.arange(256, dtype=np.float32)
    hue = (levels + draw.sign() * draw.between(0, 40)) % 180
    saturation = np.clip(levels * np.exp(draw.sign() * draw.between(0, 0.9)), 0, 255)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv = cv2.LUT(hsv, np.stack([hue, saturation, levels], axis=1).astype(np.uint8)[None])
    contrast = np.exp(draw.sign() * draw.between(0.1, 0.8))
    brightness = draw.sign() * draw.between(0, 60)
    curve = np.clip((levels - 127) * contrast + 127 + brightness, 0, 255).astype(np.uint8)
    return cv2.LUT(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), curve)


def greyscale(image: Pixels, draw: Draw) -> Pixels:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def opacity(image: Pixels, draw: Draw) -> Pixels:
    """The picture, half transparent over one colour."""
    share = 1.0 - draw.between(0.1, 0.75)
    ground = np.full_like(image, draw.colour() if draw.rng.random() < 0.5 else (255, 255, 255))
    return cv2.addWeighted(image, share, ground, 1.0 - share, 0)


def invert_channel(image: Pixels, draw: Draw) -> Pixels:
    """One channel, or all of them, as a negative."""
    chosen = np.zeros(3, bool)
    chosen[draw.rng.permutation(3)[: 3 if draw.rng.random() < 0.3 else int(draw.rng.integers(1, 3))]] = True
    return np.where(chosen, 255 - image, image).astype(np.uint8)


def swap_channels(image: Pixels, draw: Draw) -> Pixels:
    orders = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    return np.ascontiguousarray(image[:, :, list(orders[draw.rng.integers(0, len(orders))])])


def shift_channels(image: Pixels, draw: Draw) -> Pixels:
    """Every channel moved a little its own way, as in a bad print."""
    height, width = image.shape[:2]
    moved = []
    for channel in cv2.split(image):
        x, y = (draw.sign() * draw.between(0.01, 0.12) * side for side in (width, height))
        moved.append(
            cv2.warpAffine(channel, np.float32([[1, 0, x], [0, 1, y]]), (width, height), borderMode=cv2.BORDER_WRAP)
        )
    return cv2.merge(moved)
