"""Damage that Pillow decodes in silence, seen by what PNG and TIFF carry beside the pixels.

GIF, WebP, BMP, PNM and JPEG 2000, and TIFF by other methods, carry nothing that could tell wrong bytes from right ones as
long as they decode.
"""

import zlib
from collections.abc import Mapping
from itertools import chain
from typing import Any

from .turbo import jpeg_damage

_PNG_START = 8
_CHECKED_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")

_COMPRESSION, _FILL_ORDER, _JPEG_TABLES = 259, 266, 347
_OFFSETS, _SIZES = (273, 324), (279, 325)  # of strips, of tiles
_DEFLATE, _JPEG = (8, 32946), 7
_PIECE = 1 << 14


def png_damage(data: bytes) -> str | None:
    """The first wrong checksum of a chunk with pixels, or a missing end; None when the PNG is whole."""
    view, position = memoryview(data), _PNG_START
    while position + 12 <= len(data):
        name = data[position + 4 : position + 8]
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        expected = int.from_bytes(data[end : end + 4], "big")
        if name in _CHECKED_CHUNKS and (end + 4 > len(data) or zlib.crc32(view[position + 4 : end]) != expected):
            return f"wrong checksum in the PNG chunk {name.decode()} at byte {position}"
        if name == b"IEND":
            return None
        position = end + 4
    return "the end of the PNG is missing"


def tiff_damage(data: bytes, tags: Mapping[int, Any]) -> str | None:
    """The first strip or tile that is not whole by its checksum (deflate) or by libjpeg's warnings (JPEG)."""
    compression = tags.get(_COMPRESSION)
    if tags.get(_FILL_ORDER, 1) != 1 or compression not in (*_DEFLATE, _JPEG):
        return None
    offsets, sizes = (
        tuple(chain.from_iterable(_numbers(tags.get(tag)) for tag in kind)) for kind in (_OFFSETS, _SIZES)
    )
    view, tables = memoryview(data), bytes(tags.get(_JPEG_TABLES) or b"")
    for number, (offset, size) in enumerate(zip(offsets, sizes, strict=False)):
        part = view[offset : offset + size]
        damage = _zlib_damage(part) if compression != _JPEG else _jpeg_part_damage(tables, bytes(part))
        if damage is not None:
            return f"part {number + 1} of {len(offsets)} of the TIFF: {damage}"
    return None


def _numbers(value: Any) -> tuple[int, ...]:
    return () if value is None else tuple(value) if isinstance(value, tuple | list) else (int(value),)


def _zlib_damage(part: memoryview) -> str | None:
    stream = zlib.decompressobj()
    try:
        for start in range(0, len(part), _PIECE):
            stream.decompress(part[start : start + _PIECE])
    except zlib.error as error:
        return str(error)
    return None if stream.eof else "incomplete data"


def _jpeg_part_damage(tables: bytes, part: bytes) -> str | None:
    """tables: the JPEG with the tables that all parts share, which ends with an end marker of its own."""
    return jpeg_damage(tables[:-2] + part[2:] if tables.endswith(b"\xff\xd9") else part)
