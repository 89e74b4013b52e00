"""Everything but ordinary JPEGs, through Pillow: opened within our own limit, turned into an array in strips."""

import io
import math
from contextlib import closing
from functools import cache
from mmap import mmap

import numpy as np
from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as Pillow
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import MissingExtraError, optional_module
from .bitfields import UNSUPPORTED_BITFIELDS, bitfields_size, decode_bitfields
from .checksums import png_damage, tiff_damage
from .formats import HEIF, format_name, is_heif, unread_format_name
from .picture import Picture, Pixels, UndecodableError, check_size, turned_upright, upright_size
from .turbo import jpeg_damage

# Everything else Pillow could open is left out: some of it, such as EPS, is handed to other programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "AVIF", "PPM")
_STRIP_PIXELS = 1 << 20


class PillowFile:
    """An encoded image of any format that Pillow reads; its size is known and within the limit, its pixels are not read yet.

    Raises: UndecodableError.
    """

    def __init__(self, data: bytes, pixel_limit: int) -> None:
        self._data = data
        if Pillow.MAX_IMAGE_PIXELS is not None and pixel_limit > 2 * Pillow.MAX_IMAGE_PIXELS:
            Pillow.MAX_IMAGE_PIXELS = (
                pixel_limit  # Pillow has one limit for the whole process; it must not be below ours
            )
        try:
            self._image: Pillow.Image | None = Pillow.open(io.BytesIO(data), formats=_readable_formats(is_heif(data)))
            self._size = self._image.size
        except UnidentifiedImageError:
            raise UndecodableError(_unidentified(data)) from None
        except Pillow.DecompressionBombError:
            raise UndecodableError(f"more pixels than the limit of {pixel_limit}") from None
        except Exception as error:  # decoders of damaged files raise whatever they come across
            if not UNSUPPORTED_BITFIELDS.search(str(error)):
                raise UndecodableError(_corrupt(error)) from None
            self._image, self._size = None, bitfields_size(data)
        check_size(*self._size, pixel_limit)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright. Raises: UndecodableError."""
        try:
            if self._image is None:
                return self._size
            stored = self._size
            if isinstance(self._image, TiffImageFile):  # newer versions of Pillow have turned its size already
                stored = self._image.tag_v2[ExifTags.Base.ImageWidth], self._image.tag_v2[ExifTags.Base.ImageLength]
            return upright_size(stored, _orientation(self._image))
        except Exception as error:
            raise UndecodableError(_corrupt(error)) from None

    def pixels_in_flight(self, least: int) -> int:
        return self._size[0] * self._size[1]

    def decode(self, least: int) -> Picture:
        """Pixels in full size; ``least`` makes no difference. Raises: UndecodableError."""
        try:
            if self._image is None:
                return Picture(decode_bitfields(self._data))
            with closing(self._image) as image:  # its pixels need not be held beside a turned copy
                image.load()
                damage = _damage(self._data, image)
                orientation = _orientation(image)
                pixels = _to_array(image)
            return Picture(turned_upright(pixels, orientation), damage)
        except UndecodableError:
            raise
        except Exception as error:
            raise UndecodableError(_corrupt(error)) from None
        finally:
            self._image = None  # what a decoder holds beside the pixels goes as well


def _orientation(image: Pillow.Image) -> int:
    """By EXIF, 1 to 8 (upright where it says nothing)."""
    orientation: int = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation


@cache
def _readable_formats(heif: bool) -> tuple[str, ...]:
    """Those of the formats that this build of Pillow has; it trips over the name of one it lacks."""
    Pillow.init()
    if heif:
        try:
            optional_module("pillow_heif", "heif").register_heif_opener()
        except MissingExtraError as error:
            raise UndecodableError(f"not an image that can be read here: a {HEIF} file, and {error}") from None
    return tuple(name for name in (*_FORMATS, *(("HEIF",) if heif else ())) if name in Pillow.OPEN)


def _unidentified(data: bytes) -> str:
    if (known := unread_format_name(data)) is not None:
        return f"not an image that can be read here: {known} files are not read"
    if (known := format_name(data)) is not None:
        return f"not an image that can be read: it begins as {known}, but its header makes no sense"
    return "not an image, or of an unknown format"


def _corrupt(error: Exception) -> str:
    return f"corrupt or truncated image: {' '.join(str(error).split()) or type(error).__name__}"


def _damage(data: bytes, image: Pillow.Image) -> str | None:
    """What Pillow puts up with in silence, where the format lets it be seen."""
    if image.format == "PNG":
        return png_damage(data)
    if isinstance(image, TiffImageFile):
        return tiff_damage(data, image.tag_v2)
    if image.format in ("JPEG", "MPO"):
        return jpeg_damage(data)
    return None


def _to_array(image: Pillow.Image) -> Pixels:
    """uint8 RGB [H, W, 3], or [H, W] where all is grey. Raises: UndecodableError for pixels without a defined range.

    Strip by strip, since Pillow holds several copies of whatever it converts.
    """
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if rows >= height:
        return _strip_to_array(image)
    first = _strip_to_array(image.crop((0, 0, width, rows)))
    shape = (height, *first.shape[1:])
    # A mapping of its own goes back to the system when the array does; malloc would keep it for the thread.
    pixels = np.frombuffer(mmap(-1, math.prod(shape)), np.uint8).reshape(shape)
    pixels[:rows] = first
    for start in range(rows, height, rows):
        end = min(height, start + rows)
        pixels[start:end] = _strip_to_array(image.crop((0, start, width, end)))
    return pixels


def _strip_to_array(strip: Pillow.Image) -> Pixels:
    if strip.mode == "F":
        raise UndecodableError("floating-point pixels have no defined range")
    if strip.mode == "I" or strip.mode.startswith("I;16"):
        values = np.asarray(strip)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise UndecodableError("32-bit integer pixels have no defined range")
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    if strip.has_transparency_data:
        strip = strip.convert("RGBA")
        white = Pillow.new("RGBA", strip.size, (255, 255, 255, 255))
        strip = Pillow.alpha_composite(white, strip)
    return np.asarray(strip.convert("L" if strip.mode in ("1", "L") else "RGB"), np.uint8)
