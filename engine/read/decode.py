"""Bytes to pixels: the one definition of decoding and of preprocessing.

=====================  ==================================================================================================
JPEG, 1 or 3 channels  libjpeg-turbo; decoded at 1/2, 1/4 or 1/8 of its size when both sides stay at least twice as long as
                       the network's square
everything else        Pillow: PNG, WebP, GIF, BMP, TIFF, BigTIFF, JPEG 2000, AVIF, PNM, JPEG with 4 channels; and, with the
                       extra ``heif``, HEIC
EXIF orientation       applied
CMYK, YCCK, LAB        converted by Pillow's formulas, colour profiles are not used
grey, palette          to RGB
alpha                  laid over white
16 bits per channel    the upper eight
1 bit                  black and white
float, 32-bit integer  refused: they have no defined range
animated               the first frame
empty, truncated       refused; a JPEG is truncated when no end marker follows its scan
damaged                decoded, with what is wrong: a JPEG with an end marker of which libjpeg warns or whose scans are
                       incomplete; wrong checksums in PNG and in TIFF by deflate; a part of a TIFF of which libjpeg warns.
                       What has no whole row of blocks left is refused. Damage that still decodes shows in no other format
=====================  ==================================================================================================

Preprocessing stretches the picture to the network's square: by area averaging along a side that shrinks to half or less,
bilinear otherwise. (Averaging by less than two took longer than decoding, and micro-AP was 0.672 with it and 0.674 without.)

Memory, beside the encoded bytes: up to 8 bytes per pixel of the picture (2 for grey); 20 for JPEG 2000, 16 for WebP, 10 for
AVIF and HEIC. A JPEG takes 7 per pixel of the reduced picture, a progressive one 9 of the whole. ``pixel_limit`` bounds the
pixels of one image, and also those of all images that the process decodes at one time: others wait.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from .._pixels import shrink
from .formats import is_jpeg
from .in_flight import in_flight
from .jpeg import read_jpeg_header
from .picture import Picture, Pixels, PixelSet, UndecodableError, check_size
from .turbo import JpegFile
from .with_pillow import PillowFile

DEFAULT_PIXEL_LIMIT = 1 << 27
"""134 million pixels: more than any camera's picture, and about 1 GB while it is decoded (PNG)."""

cv2.setNumThreads(1)  # images are decoded side by side; OpenCV must not split one of them as well

_AVERAGING = 2


def decode(data: bytes, size: int, *, pixel_limit: int = DEFAULT_PIXEL_LIMIT) -> Pixels:
    """Image bytes -> uint8 RGB [size, size, 3], damaged or not.

    Raises: UndecodableError with the reason.
    """
    return decode_picture(data, size, pixel_limit=pixel_limit).pixels


def decode_picture(data: bytes, size: int, *, pixel_limit: int = DEFAULT_PIXEL_LIMIT) -> Picture:
    """Image bytes -> uint8 RGB [size, size, 3], and what is wrong with the image.

    Raises: UndecodableError with the reason.
    """
    (pixels,), damage = decode_sizes(data, [size], pixel_limit=pixel_limit)
    return Picture(pixels, damage)


def decode_sizes(
    data: bytes, sizes: Sequence[int], *, pixel_limit: int = DEFAULT_PIXEL_LIMIT
) -> tuple[PixelSet, str | None]:
    """Image bytes -> uint8 RGB [S, S, 3] for each of several sizes S, and what is wrong with the image.

    It is decoded once, reduced no further than the largest size allows, and stretched to each from there.
    Raises: UndecodableError with the reason.
    """
    file, largest = _open(data, pixel_limit), max(sizes)
    with in_flight(file.pixels_in_flight(largest), pixel_limit):
        return _prepared(file, sizes)


def decode_whole(data: bytes, least: int, pixel_limit: int) -> tuple[Picture, tuple[int, int]]:
    """As ``decode_full``, with what is wrong with the image, and (width, height) of it before it was reduced.

    Raises: UndecodableError with the reason.
    """
    file = _open(data, pixel_limit)
    with in_flight(file.pixels_in_flight(least), pixel_limit):
        picture = file.decode(least)
    return Picture(_to_rgb(picture.pixels), picture.damage), _full_size(data, picture.pixels)


def _full_size(data: bytes, pixels: Pixels) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    header = read_jpeg_header(data) if is_jpeg(data) else None
    if header is None or max(header.width, header.height) <= max(width, height):
        return width, height
    upright = (width > height) == (header.width > header.height)
    return (header.width, header.height) if upright else (header.height, header.width)


def decode_full(data: bytes, least: int, pixel_limit: int) -> Pixels:
    """Image bytes -> uint8 RGB [H, W, 3]; a JPEG may be reduced as long as its sides stay at least ``2 * least``.

    Raises: UndecodableError with the reason.
    """
    file = _open(data, pixel_limit)
    with in_flight(file.pixels_in_flight(least), pixel_limit):
        return _to_rgb(file.decode(least).pixels)


def image_size(data: bytes, *, pixel_limit: int = DEFAULT_PIXEL_LIMIT) -> tuple[int, int]:
    """Image bytes -> width and height in pixels, upright, from the header alone.

    Raises: UndecodableError with the reason.
    """
    return _open(data, pixel_limit).size


def _open(data: bytes, pixel_limit: int) -> JpegFile | PillowFile:
    if not data:
        raise UndecodableError("empty file")
    header = read_jpeg_header(data) if is_jpeg(data) else None
    if header is None or header.channels not in (1, 3) or not header.complete:
        return PillowFile(data, pixel_limit)
    check_size(header.width, header.height, pixel_limit)
    return JpegFile(data, header)


def _prepared(file: JpegFile | PillowFile, sizes: Sequence[int]) -> tuple[PixelSet, str | None]:
    """In a function of its own, so that the pixels in full are gone when it ends."""
    picture = file.decode(max(sizes))
    return stretch_sizes(picture.pixels, sizes), picture.damage


def stretch_sizes(pixels: Pixels, sizes: Sequence[int]) -> PixelSet:
    """uint8 RGB [H, W, 3] or grey [H, W] -> RGB [S, S, 3] for each of several sizes S."""
    return tuple(_to_rgb(stretch(pixels, size)) for size in sizes)


def _to_rgb(pixels: Pixels) -> Pixels:
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def stretch(pixels: Pixels, size: int) -> Pixels:
    """uint8 [H, W, 3] -> [size, size, 3]; grey [H, W] -> [size, size]."""
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return np.ascontiguousarray(pixels)
    if height >= _AVERAGING * size and width >= _AVERAGING * size:
        return _average(pixels, size, size)
    if height >= _AVERAGING * size or width >= _AVERAGING * size:  # only one side shrinks much: average along that one
        short = (size if width >= _AVERAGING * size else width, size if height >= _AVERAGING * size else height)
        pixels = _average(pixels, *short)
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def _average(pixels: Pixels, width: int, height: int) -> Pixels:
    """By area: as OpenCV does, whose own way through colours takes four times as long where it is not by whole numbers."""
    if pixels.ndim == 3 and (pixels.shape[0] % height or pixels.shape[1] % width):
        return shrink(np.ascontiguousarray(pixels), height, width)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
