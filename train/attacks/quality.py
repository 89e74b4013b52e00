"""Attacks that throw detail away or add what was not there."""

import cv2
import numpy as np

from .draw import Draw, Pixels


def encoding_quality(image: Pixels, draw: Draw) -> Pixels:
    quality = round(40 - draw.between(0, 37))
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)


def pixelisation(image: Pixels, draw: Draw) -> Pixels:
    height, width = image.shape[:2]
    blocks = 96 - draw.between(0, 80)  # along the longer side
    factor = min(1.0, blocks / max(height, width))
    small = cv2.resize(
        image, (max(4, round(width * factor)), max(4, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def blur(image: Pixels, draw: Draw) -> Pixels:
    return cv2.GaussianBlur(image, (0, 0), max(0.5, draw.between(0.003, 0.025) * max(image.shape[:2])))


def sharpen(image: Pixels, draw: Draw) -> Pixels:
    strength = draw.between(1.0, 10.0)
    return cv2.addWeighted(image, 1 + strength, cv2.GaussianBlur(image, (0, 0), 2.0), -strength, 0)


def shuffle_pixels(image: Pixels, draw: Draw) -> Pixels:
    """A share of the pixels trade places."""
    flat = image.reshape(-1, 3).copy()
    chosen = np.flatnonzero(draw.rng.random(len(flat)) < draw.between(0.05, 0.45))
    flat[chosen] = flat[draw.rng.permutation(chosen)]
    return flat.reshape(image.shape)
