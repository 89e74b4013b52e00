"""Pictures as attacks take them: whole, and of a handy size."""

import cv2

from copytrace.engine import BadImageError
from copytrace.engine.read import DEFAULT_PIXEL_LIMIT, Image, UndecodableError
from copytrace.engine.read.decode import decode_full

from ..attacks import Pixels

LONGEST_SIDE = 512


def load(image: Image, longest: int = LONGEST_SIDE) -> Pixels:
    """An image as uint8 RGB [H, W, 3], its longer side at most ``longest``.

    Raises: BadImageError.
    """
    try:
        pixels = decode_full(image.read(), longest // 2, DEFAULT_PIXEL_LIMIT)
    except (UndecodableError, OSError) as error:
        raise BadImageError(f"{image.id}: {error}") from None
    factor = longest / max(pixels.shape[:2])
    if factor >= 1.0:
        return pixels
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
