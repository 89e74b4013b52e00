"""What decoding gives: a picture, with what its decoder complained of, or the reason why there is none."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
PixelSet = tuple[Pixels, ...]
"""One picture, uint8 RGB [S, S, 3], for each of several sizes S."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels, uint8 RGB [H, W, 3] (or grey [H, W] before preprocessing), and what is wrong with them, in one line, or None."""

    pixels: Pixels
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class PixelImage:
    """An image that is pixels already: its id, and uint8 RGB [H, W, 3] or grey [H, W]."""

    id: str
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class BadImage:
    """An image that could not be turned into pixels, or only damaged ones, and why, in one line."""

    id: str
    reason: str


class UndecodableError(Exception):
    """Bytes that are not a usable image; the text is the reason."""


def check_size(width: int, height: int, pixel_limit: int) -> None:
    """Raises: UndecodableError for more pixels than the limit, and for none."""
    if width * height > pixel_limit:
        raise UndecodableError(f"{width} x {height} pixels exceed the limit of {pixel_limit}")
    if width == 0 or height == 0:
        raise UndecodableError("no pixels")


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height after :func:`turned_upright`."""
    return size[::-1] if orientation in (5, 6, 7, 8) else size


def turned_upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation (1 to 8; anything else means upright)."""
    transposed = np.asarray(cv2.transpose(pixels), np.uint8) if orientation in (5, 6, 7, 8) else None
    # After the transposition: which axes are still the wrong way round, in OpenCV's numbers.
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    if flip is None:
        return pixels if transposed is None else transposed
    source = pixels if transposed is None else transposed
    return np.asarray(cv2.flip(source, flip, dst=transposed), np.uint8)  # in place where there is a copy already
