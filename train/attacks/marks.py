"""Attacks that lay marks over the picture: text, emoji, logos, watermarks, shapes, covers, other photographs."""

import cv2
import numpy as np

from .draw import Draw, Pixels
from .emoji import emoji_stamp
from .filters import soft
from .light import mixed, plain
from .logos import logo_stamp
from .stamps import Stamp, lay, polygon, rounded_rectangle
from .writing import phrase, text_mask, text_stamp


def fitted(image: Pixels, width: int, height: int) -> Pixels:
    """The middle of a picture, of the ratio asked for, at the size asked for."""
    h, w = image.shape[:2]
    factor = min(w / width, h / height)
    cut_w, cut_h = max(1, int(width * factor)), max(1, int(height * factor))
    y, x = (h - cut_h) // 2, (w - cut_w) // 2
    return cv2.resize(image[y : y + cut_h, x : x + cut_w], (width, height), interpolation=cv2.INTER_LINEAR)


def _scatter(image: Pixels, draw: Draw, stamp: Stamp, opacity: float = 1.0) -> None:
    """Lay a stamp somewhere, at most a third of it outside."""
    height, width = stamp.mask.shape
    x = int(draw.rng.integers(-width // 3, max(1, image.shape[1] - 2 * width // 3)))
    y = int(draw.rng.integers(-height // 3, max(1, image.shape[0] - 2 * height // 3)))
    lay(image, stamp, x, y, opacity)


def _some_turned(draw: Draw, stamp: Stamp) -> Stamp:
    return stamp.turned(float(draw.rng.normal(0, 25))) if draw.rng.random() < 0.4 else stamp


def lettering(image: Pixels, draw: Draw) -> Pixels:
    """One to four lines of text of any size."""
    image = image.copy()
    height, width = image.shape[:2]
    for _ in range(1 + round(draw.between(0, 3))):
        size = max(7, round(draw.between(0.05, 0.3) * height))
        words = int(draw.rng.integers(1, max(2, min(8, round(0.5 * width / size)) + 1)))
        _scatter(image, draw, _some_turned(draw, text_stamp(draw, phrase(draw, words), size)), draw.rng.uniform(0.6, 1))
    return image


def caption(image: Pixels, draw: Draw) -> Pixels:
    """Outlined capitals across the picture, at the top, the bottom, or both, as in a meme."""
    image = image.copy()
    height, width = image.shape[:2]
    size = max(8, round(draw.between(0.1, 0.25) * height))
    places = ((0.02,), (0.96,), (0.02, 0.96))[int(draw.rng.integers(0, 3))]
    for place in places:
        letters = text_mask(draw, phrase(draw, int(draw.rng.integers(2, 6))).upper(), size)
        if draw.rng.random() < 0.5:
            letters = cv2.dilate(letters, np.ones((2, 2), np.uint8))
        outline = cv2.dilate(letters, np.ones((3, 3), np.uint8))
        stamp = Stamp(cv2.cvtColor(letters, cv2.COLOR_GRAY2RGB), outline.astype(np.float32) / 255)
        if stamp.mask.shape[1] > width:
            stamp = stamp.resized(width, round(stamp.mask.shape[0] * max(0.5, width / stamp.mask.shape[1])))
        lay(
            image,
            stamp,
            (width - stamp.mask.shape[1]) // 2,
            round(place * height - (place > 0.5) * stamp.mask.shape[0]),
        )
    return image


def emoji(image: Pixels, draw: Draw) -> Pixels:
    """One to six stickers; many small ones or few large ones."""
    image = image.copy()
    for _ in range(1 + round(draw.between(0, 5))):
        size = max(6, round(draw.between(0.12, 0.6) * min(image.shape[:2]) * draw.rng.uniform(0.5, 1.2)))
        _scatter(image, draw, _some_turned(draw, emoji_stamp(draw, size)))
    return image


def logo(image: Pixels, draw: Draw) -> Pixels:
    """One or two, at the corners more often than elsewhere."""
    image = image.copy()
    for _ in range(1 + int(draw.rng.random() < 0.3)):
        size = max(8, round(draw.between(0.12, 0.5) * min(image.shape[:2])))
        stamp, opacity = logo_stamp(draw, size), draw.rng.uniform(0.5, 1.0)
        height, width = stamp.mask.shape
        if draw.rng.random() < 0.5:
            _scatter(image, draw, stamp, opacity)
        else:
            right, below = draw.rng.integers(0, 2, 2).tolist()
            lay(image, stamp, right * (image.shape[1] - width), below * (image.shape[0] - height), opacity)
    return image


def watermark(image: Pixels, draw: Draw) -> Pixels:
    """Text or a logo again and again over the whole picture, aslant and half transparent."""
    height, width = image.shape[:2]
    size = max(8, round(draw.between(0.06, 0.15) * min(height, width)))
    if draw.rng.random() < 0.7:
        mask = text_mask(draw, phrase(draw, int(draw.rng.integers(1, 3))), size).astype(np.float32) / 255
    else:
        mask = logo_stamp(draw, 2 * size).mask
    room = round(size * draw.rng.uniform(0.3, 2.0))
    tile = cv2.copyMakeBorder(mask, room, room, room, room, cv2.BORDER_CONSTANT, value=0)
    times = [-(-side // part) for side, part in zip((height, width), tile.shape, strict=True)]
    field = np.tile(tile, times)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), draw.rng.uniform(-50, 50), 1.0)
    field = cv2.warpAffine(field, matrix, (width, height), borderMode=cv2.BORDER_WRAP)
    colour = (255, 255, 255) if draw.rng.random() < 0.6 else draw.colour()
    return mixed(image, plain(image, colour), field * np.float32(draw.between(0.25, 0.8)))


def lines(image: Pixels, draw: Draw) -> Pixels:
    """A grid, stripes, or scribbles with a brush."""
    image = image.copy()
    height, width = image.shape[:2]
    colour, reach = draw.colour(), max(height, width)
    thick = max(1, round(draw.between(0.004, 0.03) * reach))
    if draw.rng.random() < 0.6:
        gap = max(thick + 1, round(reach * draw.rng.uniform(0.05, 0.25)))
        across = int(draw.rng.integers(0, 3))
        for place in range(int(draw.rng.integers(0, gap)) % max(1, min(height, width)), reach, gap):
            if across != 1:
                cv2.line(image, (place, 0), (place, height), colour, thick)
            if across != 0:
                cv2.line(image, (0, place), (width, place), colour, thick)
        return image
    for _ in range(1 + round(draw.between(0, 5))):
        steps = np.cumsum(draw.rng.normal(0, reach * 0.12, (12, 2)), axis=0)
        points = steps - steps[0] + draw.rng.uniform(0, (width, height))
        cv2.polylines(image, [points.astype(np.int32)], False, draw.colour(), thick, cv2.LINE_AA)
    return image


def shapes(image: Pixels, draw: Draw) -> Pixels:
    """Plain shapes over the picture, some half transparent."""
    image = image.copy()
    for _ in range(1 + round(draw.between(0, 5))):
        size = max(4, round(draw.between(0.1, 0.6) * min(image.shape[:2]) * draw.rng.uniform(0.5, 1.2)))
        mask = polygon(draw, size).astype(np.float32) / 255
        colour = np.full((size, size, 3), draw.colour(), np.uint8)
        _scatter(image, draw, Stamp(colour, mask), draw.rng.uniform(0.3, 1.0))
    return image


def _windows(image: Pixels, draw: Draw, most: int, largest: float) -> list[tuple[slice, slice]]:
    """Rectangles within the picture, one to ``most``."""
    height, width = image.shape[:2]
    windows = []
    for _ in range(1 + round(draw.between(0, most - 1))):
        h, w = (max(1, round(side * draw.between(0.1, largest))) for side in (height, width))
        y, x = int(draw.rng.integers(0, height - h + 1)), int(draw.rng.integers(0, width - w + 1))
        windows.append((slice(y, y + h), slice(x, x + w)))
    return windows


def erase(image: Pixels, draw: Draw) -> Pixels:
    """Rectangles of one colour, of noise, or of another photograph."""
    kind, image = draw.rng.random(), image.copy()
    other = draw.other() if kind < 0.25 else None
    for window in _windows(image, draw, 5, 0.55):
        part = image[window]
        if other is not None:
            part[:] = fitted(other, part.shape[1], part.shape[0])
        elif kind < 0.45:
            part[:] = draw.rng.integers(0, 256, part.shape, dtype=np.uint8)
        else:
            part[:] = draw.colour() if draw.rng.random() < 0.7 else (0, 0, 0)
    return image


def hide(image: Pixels, draw: Draw) -> Pixels:
    """Regions blurred or in large pixels, as faces and number plates are."""
    image = image.copy()
    for window in _windows(image, draw, 4, 0.8):
        part = np.ascontiguousarray(image[window])
        height, width = part.shape[:2]
        if draw.rng.random() < 0.5:
            image[window] = soft(part, draw.between(3.0, 10.0))
        else:
            size = (
                max(1, width // round(4 + draw.rng.uniform(4, 12))),
                max(1, height // round(4 + draw.rng.uniform(4, 12))),
            )
            image[window] = cv2.resize(
                cv2.resize(part, size, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_NEAREST
            )
    return image


def blend(image: Pixels, draw: Draw) -> Pixels:
    """Another photograph shines through everywhere."""
    height, width = image.shape[:2]
    share = draw.between(0.12, 0.55)
    return cv2.addWeighted(fitted(draw.other(), width, height), share, image, 1 - share, 0)


def double_exposure(image: Pixels, draw: Draw) -> Pixels:
    """Another photograph by one of the ways of layers: screen, multiply, lighten, darken, difference, overlay."""
    other = fitted(draw.other(), image.shape[1], image.shape[0])
    other = other[:, ::-1] if draw.rng.random() < 0.5 else other
    other = np.ascontiguousarray(other)
    kind, share = int(draw.rng.integers(0, 6)), draw.between(0.3, 0.9)
    if kind == 0:
        layered = 255 - cv2.multiply(255 - image, 255 - other, scale=1 / 255)
    elif kind == 1:
        layered = cv2.multiply(image, other, scale=1 / 255)
    elif kind == 2:
        layered = cv2.max(image, other)
    elif kind == 3:
        layered = cv2.min(image, other)
    elif kind == 4:
        layered = cv2.absdiff(image, other)
    else:
        layered = cv2.addWeighted(image, 1.0, other, 1.0, -128)
    return cv2.addWeighted(layered, share, image, 1 - share, 0)


def sticker(image: Pixels, draw: Draw) -> Pixels:
    """Another photograph, small and in a shape of its own, on this one."""
    image = image.copy()
    for _ in range(1 + int(draw.rng.random() < 0.3)):
        size = max(8, round(draw.between(0.2, 0.6) * min(image.shape[:2])))
        height = max(4, round(size * draw.rng.uniform(0.6, 1.4)))
        if draw.rng.random() < 0.5:
            mask = rounded_rectangle(size, height, int(draw.rng.integers(0, size // 2)))
        else:
            mask = cv2.resize(polygon(draw, size), (size, height))
        stamp = Stamp(fitted(draw.other(), size, height), mask.astype(np.float32) / 255)
        _scatter(image, draw, _some_turned(draw, stamp), draw.rng.uniform(0.7, 1.0))
    return image
