"""Edits that turn a photograph into a query, drawn at random from the kinds people use to slip past a detector.

Every function takes uint8 RGB [H, W, 3] and a generator, and returns a new picture; nothing global is touched, and the same
seed gives the same picture.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Rng = np.random.Generator
Attack = Callable[[Pixels, Rng], Pixels]


def _window(image: Pixels, rng: Rng, low: float, high: float) -> Pixels:
    """A window of ``low`` to ``high`` of the area, its sides' ratio changed by up to a third."""
    height, width = image.shape[:2]
    area, ratio = rng.uniform(low, high), np.exp(rng.uniform(-0.3, 0.3))
    h = int(np.clip(height * np.sqrt(area * ratio), 8, height))
    w = int(np.clip(width * np.sqrt(area / ratio), 8, width))
    y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    return image[y : y + h, x : x + w].copy()


def crop(image: Pixels, rng: Rng) -> Pixels:
    return _window(image, rng, 0.3, 0.8)


def strong_crop(image: Pixels, rng: Rng) -> Pixels:
    return _window(image, rng, 0.1, 0.3)


def rotate(image: Pixels, rng: Rng) -> Pixels:
    if rng.random() < 0.5:
        return np.ascontiguousarray(np.rot90(image, rng.integers(1, 4)))
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(-45, 45)), 1.0)
    border = cv2.BORDER_REFLECT if rng.random() < 0.3 else cv2.BORDER_CONSTANT
    return cv2.warpAffine(image, turn, (width, height), borderMode=border, borderValue=_colour(rng))


def flip(image: Pixels, rng: Rng) -> Pixels:
    return np.ascontiguousarray(image[:, ::-1] if rng.random() < 0.7 else image[::-1])


def flip_crop(image: Pixels, rng: Rng) -> Pixels:
    return _window(flip(image, rng), rng, 0.5, 0.9)


def colour(image: Pixels, rng: Rng) -> Pixels:
    kind = rng.integers(0, 6)
    if kind == 0:  # jitter
        changed = image.astype(np.float32) * rng.uniform(0.6, 1.4, 3) + rng.uniform(-40, 40)
        return np.clip(changed, 0, 255).astype(np.uint8)
    if kind == 1:  # grey
        return np.repeat(image.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    if kind == 2:  # swapped channels
        return np.ascontiguousarray(image[:, :, rng.permutation(3)])
    if kind == 3:  # inverted channels
        return np.where(rng.random(3) < 0.7, 255 - image, image).astype(np.uint8)
    if kind == 4:  # contrast
        mean = image.mean()
        return np.clip((image - mean) * rng.uniform(0.4, 1.8) + mean, 0, 255).astype(np.uint8)
    levels = int(rng.integers(3, 7))  # posterised
    return (image // (256 // levels) * (255 // (levels - 1))).clip(0, 255).astype(np.uint8)


def quality(image: Pixels, rng: Rng) -> Pixels:
    kind = rng.integers(0, 4)
    if kind == 0:
        return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(1.0, 2.5)))
    if kind == 1:
        return np.clip(image + rng.normal(0, rng.uniform(8, 30), image.shape), 0, 255).astype(np.uint8)
    if kind == 2:  # pixelised
        height, width = image.shape[:2]
        factor = rng.uniform(3, 6)
        small = cv2.resize(
            image, (max(4, int(width / factor)), max(4, int(height / factor))), interpolation=cv2.INTER_AREA
        )
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(4, 15))])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)


def overlay(image: Pixels, rng: Rng) -> Pixels:
    image = image.copy()
    height, width = image.shape[:2]
    for _ in range(rng.integers(1, 4)):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        size = int(min(height, width) * rng.uniform(0.08, 0.25))
        kind = rng.integers(0, 3)
        if kind == 0:
            cv2.rectangle(image, (x, y), (x + 2 * size, y + size), _colour(rng), -1)
        elif kind == 1:
            cv2.circle(image, (x, y), size, _colour(rng), -1)
        else:
            text = "".join(chr(rng.integers(65, 91)) for _ in range(rng.integers(4, 12)))
            cv2.putText(image, text, (x // 2, y), cv2.FONT_HERSHEY_SIMPLEX, size / 18, _colour(rng), max(1, size // 8))
    return image


def pad(image: Pixels, rng: Rng) -> Pixels:
    height, width = image.shape[:2]
    top, bottom = (int(height * rng.uniform(0.02, 0.35)) for _ in range(2))
    left, right = (int(width * rng.uniform(0.02, 0.35)) for _ in range(2))
    return cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=_colour(rng))


def paste(image: Pixels, rng: Rng, background: Pixels) -> Pixels:
    """The photograph, reduced to 25 to 60 % of the side, on an unrelated one."""
    canvas = background.copy()
    height, width = canvas.shape[:2]
    share = rng.uniform(0.25, 0.6)
    h, w = max(8, int(height * share)), max(8, int(width * share))
    y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    canvas[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return canvas


def _colour(rng: Rng) -> tuple[int, int, int]:
    return (int(rng.integers(256)), int(rng.integers(256)), int(rng.integers(256)))


SINGLE: dict[str, Attack] = {
    "crop": crop,
    "strong-crop": strong_crop,
    "rotation": rotate,
    "flip-crop": flip_crop,
    "colour": colour,
    "quality": quality,
    "overlay": overlay,
    "frame": pad,
}
CLASSES = (*SINGLE, "pasted", "chain")


def attack(image: Pixels, name: str, rng: Rng, background: Pixels) -> Pixels:
    """Apply the attack of a class; "pasted" uses ``background``, "chain" two to four different ones."""
    if name == "pasted":
        return paste(image, rng, background)
    if name == "chain":
        for part in rng.choice(list(SINGLE), size=int(rng.integers(2, 5)), replace=False):
            image = SINGLE[str(part)](image, rng)
        return image
    return SINGLE[name](image, rng)
