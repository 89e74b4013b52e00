"""Attacks by filters that look at a pixel's neighbours: drawings, reliefs, blurs of several kinds."""

import cv2
import numpy as np

from .draw import Draw, Pixels
from .tone import grey


def soft(image: Pixels, sigma: float) -> Pixels:
    """Much like a Gaussian blur, at a cost that does not grow with ``sigma`` (in pixels)."""
    side = max(3, 2 * round(1.6 * sigma) + 1)
    return cv2.stackBlur(image, (side, side))


def motion_blur(image: Pixels, draw: Draw) -> Pixels:
    return smeared(image, draw.between(0.03, 0.14) * max(image.shape[:2]), draw.rng.uniform(0, np.pi))


def smeared(image: Pixels, length: float, angle: float) -> Pixels:
    """Averaged along a line: with itself moved by a half, a quarter, ... of the whole way."""
    height, width = image.shape[:2]
    step = max(0.5 * length, 1.5)
    while step >= 0.5:
        matrix = np.float32([[1, 0, step * np.cos(angle)], [0, 1, step * np.sin(angle)]])
        moved = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        image, step = cv2.addWeighted(image, 0.5, moved, 0.5, 0), step / 2
    return image


def median(image: Pixels, draw: Draw) -> Pixels:
    return cv2.medianBlur(image, 2 * round(draw.between(1, 3)) + 1)


def cartoon(image: Pixels, draw: Draw) -> Pixels:
    """Flat colours with dark outlines."""
    flat = cv2.medianBlur(image, 5)
    steps = round(14 - draw.between(0, 9))
    levels = np.arange(256, dtype=np.float32)
    flat = cv2.LUT(flat, (np.round(levels / 255 * steps) * (255 / steps)).astype(np.uint8))
    lines = cv2.adaptiveThreshold(
        cv2.medianBlur(grey(image), 5), 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, 4
    )
    return cv2.bitwise_and(flat, flat, mask=lines)


def edges(image: Pixels, draw: Draw) -> Pixels:
    """A drawing: edges alone, dark on light or light on dark, mixed with some of the picture."""
    brightness = cv2.GaussianBlur(grey(image), (0, 0), 1.0)
    strength = cv2.convertScaleAbs(cv2.Laplacian(brightness, cv2.CV_16S, ksize=3), alpha=4.0)
    if draw.rng.random() < 0.5:
        strength = 255 - strength
    share = 0.4 + draw.between(0.1, 0.6)
    return cv2.addWeighted(cv2.cvtColor(strength, cv2.COLOR_GRAY2RGB), share, image, 1 - share, 0)


def pencil(image: Pixels, draw: Draw) -> Pixels:
    """A pencil drawing, grey or with some colour: brightness divided by that of its surroundings."""
    brightness = grey(image)
    drawn = cv2.divide(brightness, soft(brightness, draw.between(2.0, 8.0)), scale=250)
    share = 0.5 + draw.between(0.1, 0.5)
    return cv2.addWeighted(cv2.cvtColor(drawn, cv2.COLOR_GRAY2RGB), share, image, 1 - share, 0)


def emboss(image: Pixels, draw: Draw) -> Pixels:
    """A relief, lit from one of eight sides."""
    y, x = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))[int(draw.rng.integers(0, 8))]
    kernel = np.zeros((3, 3), np.float32)
    kernel[1 + y, 1 + x], kernel[1 - y, 1 - x] = 1.0, -1.0
    relief = cv2.filter2D(image, -1, kernel * draw.between(0.8, 3.0), delta=128)
    share = 0.4 + draw.between(0.1, 0.6)
    return cv2.addWeighted(relief, share, image, 1 - share, 0)


def unsharp(image: Pixels, draw: Draw) -> Pixels:
    """Too much local contrast, with halos."""
    strength = draw.between(1.0, 5.0)
    return cv2.addWeighted(image, 1 + strength, soft(image, draw.between(1.0, 6.0)), -strength, 0)


def glow(image: Pixels, draw: Draw) -> Pixels:
    """Light that runs over into its surroundings, as behind a soft-focus lens."""
    bright = soft(image, draw.between(2.0, 8.0))
    lit = 255 - cv2.multiply(255 - image, 255 - bright, scale=1 / 255)
    share = draw.between(0.3, 1.0)
    return cv2.addWeighted(lit, share, image, 1 - share, 0)


def oil(image: Pixels, draw: Draw) -> Pixels:
    """Small areas of even colour, as painted: dark and light spots closed by turns."""
    side = 2 * round(draw.between(1, 3)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    operations = (cv2.MORPH_OPEN, cv2.MORPH_CLOSE)
    first = int(draw.rng.integers(0, 2))
    return cv2.morphologyEx(cv2.morphologyEx(image, operations[first], kernel), operations[1 - first], kernel)


def resample(image: Pixels, draw: Draw) -> Pixels:
    """Made small and large again, with the blur, ringing or steps of one of the usual ways."""
    height, width = image.shape[:2]
    factor = 1.0 / draw.between(1.5, 6.0)
    ways = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
    down, up = (ways[int(draw.rng.integers(0, 4))] for _ in range(2))
    small = cv2.resize(image, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=down)
    return cv2.resize(small, (width, height), interpolation=up)
