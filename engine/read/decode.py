"""Bytes to pixels: the one definition of decoding and of preprocessing.

=====================  ==================================================================================================
JPEG, 1 or 3 channels  OpenCV (libjpeg-turbo); decoded at 1/2, 1/4 or 1/8 of its size when both sides stay at least twice as
                       long as the network's square
everything else        Pillow: PNG, WebP, GIF, BMP, TIFF, JPEG 2000, AVIF, PPM, and JPEG with 4 channels
EXIF orientation       applied
CMYK, YCCK, LAB        converted by Pillow's formulas, colour profiles are not used
grey, palette          to RGB
alpha                  laid over white
16 bits per channel    the upper eight
1 bit                  black and white
float, 32-bit integer  refused: they have no defined range
animated               the first frame
truncated, empty       refused
=====================  ==================================================================================================

Preprocessing stretches the picture to the network's square: by area averaging along a side that shrinks to half or less,
bilinear otherwise. (Averaging by less than two took longer than decoding, and micro-AP was 0.672 with it and 0.674 without.)
"""

import io
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from .formats import is_jpeg
from .jpeg import JpegHeader, read_jpeg_header

DEFAULT_PIXEL_LIMIT = 1 << 27
"""134 million pixels: more than any camera's picture, and at most 400 MB once decoded."""

Pixels = NDArray[np.uint8]

# Everything else Pillow could open is left out: some of it, such as EPS, is handed to other programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "AVIF", "PPM")

cv2.setNumThreads(1)  # images are decoded side by side; OpenCV must not split one of them as well

# Measured on 23 photographs of 0.4 to 1.6 megapixels, against decoding in full: at least 1 x the square, descriptors at a
# cosine of 0.983 (median) and 1.9 times as fast; 2 x, 0.9986 and 1.4 times.
_REDUCED_MARGIN = 2
_AVERAGING = 2
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


@dataclass(frozen=True, slots=True)
class BadImage:
    """An image that could not be turned into pixels, and why, in one line."""

    id: str
    reason: str


class UndecodableError(Exception):
    """Bytes that are not a usable image; the text is the reason."""


def decode(data: bytes, size: int, *, pixel_limit: int = DEFAULT_PIXEL_LIMIT) -> Pixels:
    """Image bytes -> uint8 RGB [size, size, 3].

    Raises: UndecodableError with the reason.
    """
    return stretch(decode_full(data, size, pixel_limit), size)


def decode_full(data: bytes, least: int, pixel_limit: int) -> Pixels:
    """Image bytes -> uint8 RGB [H, W, 3], both sides at least ``least`` where the picture's own are."""
    if not data:
        raise UndecodableError("empty file")
    header = read_jpeg_header(data) if is_jpeg(data) else None
    if header is not None and header.channels in (1, 3) and header.complete:
        _check_size(header.width, header.height, pixel_limit)
        return _decode_jpeg(data, least, header)
    return _decode_with_pillow(data, pixel_limit)


def stretch(pixels: Pixels, size: int) -> Pixels:
    """uint8 [H, W, 3] -> [size, size, 3]."""
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return np.ascontiguousarray(pixels)
    if height >= _AVERAGING * size and width >= _AVERAGING * size:
        return _resize(pixels, size, size, cv2.INTER_AREA)
    if height >= _AVERAGING * size or width >= _AVERAGING * size:  # only one side shrinks much: average along that one
        short = (size if width >= _AVERAGING * size else width, size if height >= _AVERAGING * size else height)
        pixels = _resize(pixels, *short, cv2.INTER_AREA)
    return _resize(pixels, size, size, cv2.INTER_LINEAR)


def _resize(pixels: Pixels, width: int, height: int, method: int) -> Pixels:
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=method), np.uint8)


def _check_size(width: int, height: int, pixel_limit: int) -> None:
    if width * height > pixel_limit:
        raise UndecodableError(f"{width} x {height} pixels exceed the limit of {pixel_limit}")
    if width == 0 or height == 0:
        raise UndecodableError("no pixels")


def _decode_jpeg(data: bytes, least: int, header: JpegHeader) -> Pixels:
    shortest = min(header.width, header.height)
    factor = next(factor for factor in (8, 4, 2, 1) if shortest >= _REDUCED_MARGIN * factor * least or factor == 1)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCED[factor])
    except cv2.error as error:
        raise UndecodableError(f"corrupt JPEG: {error.err}") from None
    if pixels is None:
        raise UndecodableError("corrupt JPEG")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _decode_with_pillow(data: bytes, pixel_limit: int) -> Pixels:
    try:
        image = Pillow.open(io.BytesIO(data), formats=_available_formats())
        _check_size(*image.size, pixel_limit)
        image.load()
        return np.asarray(_to_rgb(ImageOps.exif_transpose(image)))
    except UndecodableError:
        raise
    except UnidentifiedImageError:
        raise UndecodableError("not an image, or of an unknown format") from None
    except Pillow.DecompressionBombError:
        raise UndecodableError(f"more pixels than the limit of {pixel_limit}") from None
    except Exception as error:  # decoders of damaged files raise whatever they come across
        raise UndecodableError(f"corrupt or truncated image: {error}".splitlines()[0]) from None


@cache
def _available_formats() -> tuple[str, ...]:
    """Those of the formats that this build of Pillow has; it trips over the name of one it lacks."""
    Pillow.init()
    return tuple(name for name in _FORMATS if name in Pillow.OPEN)


def _to_rgb(image: Pillow.Image) -> Pillow.Image:
    if image.mode == "F":
        raise UndecodableError("floating-point pixels have no defined range")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise UndecodableError("32-bit integer pixels have no defined range")
        return Pillow.fromarray((values.astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Pillow.new("RGBA", image.size, (255, 255, 255, 255))
        image = Pillow.alpha_composite(white, image)
    return image.convert("RGB")
