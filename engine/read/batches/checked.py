"""Which JPEGs a decoder that takes many at a time is given: whole ones, of the plain kinds that every decoder reads alike.

libjpeg looks at each first, at an eighth of its size: it walks all of the data and computes next to nothing, which takes about
a quarter of the time of decoding on the CPU. So what is damaged, and the words for it, are those of the CPU's decoder.
"""

import re
from dataclasses import dataclass

from ..formats import is_jpeg
from ..jpeg import JpegHeader, read_jpeg_header
from ..turbo import jpeg_damage

LARGEST = 1 << 25
"""Pixels; larger pictures are rare, take much of a card's memory, and the CPU decodes them at a fraction of their size."""

_SEQUENTIAL = (0xC0, 0xC1)  # Huffman codes; of progressive JPEGs nvJPEG decodes the coefficients on the CPU as well
_COMPONENTS = re.compile(rb"\xff[\xc0\xc1]..\x08....\x03(.)..(.)..(.)", re.DOTALL)
_UNTRANSFORMED = re.compile(rb"\xff\xee..Adobe.{6}\0", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CheckedJpeg:
    """A whole, undamaged JPEG with 8 bits per sample, sequential, grey or YCbCr, of at most ``LARGEST`` pixels."""

    data: bytes
    header: JpegHeader

    @property
    def pixels(self) -> int:
        return self.header.width * self.header.height


def checked_jpeg(data: bytes, pixel_limit: int) -> CheckedJpeg | None:
    """Image bytes as such a JPEG; None for all else, which is the CPU's to decode, or to say what is wrong with it."""
    header = read_jpeg_header(data) if is_jpeg(data) else None
    if header is None or not header.complete or header.process not in _SEQUENTIAL or header.precision != 8:
        return None
    if header.channels not in (1, 3) or not 0 < header.width * header.height <= min(pixel_limit, LARGEST):
        return None
    if header.channels == 3 and not _is_ycbcr(data[: header.scan]):
        return None
    return CheckedJpeg(data, header) if jpeg_damage(data) is None else None


def _is_ycbcr(head: bytes) -> bool:
    """Whether nothing before the first scan, a thumbnail included, says that three channels are stored as RGB."""
    letters = any(set(found.groups()) == {b"R", b"G", b"B"} for found in _COMPONENTS.finditer(head))
    return not letters and _UNTRANSFORMED.search(head) is None
