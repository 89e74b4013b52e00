"""Small pictures for reports."""

import cv2

from .decode import DEFAULT_PIXEL_LIMIT, decode_full
from .picture import UndecodableError


def thumbnail(data: bytes, longest: int = 220) -> bytes | None:
    """Image bytes -> a JPEG whose longer side is at most ``longest``, or None where they are not a usable image."""
    try:
        pixels = decode_full(data, longest, DEFAULT_PIXEL_LIMIT)
    except UndecodableError:
        return None
    height, width = pixels.shape[:2]
    scale = min(1.0, longest / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
