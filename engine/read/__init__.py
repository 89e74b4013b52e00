"""From a source to pixels: ids and bytes (``open``), bytes to uint8 RGB (``decode``), one definition of both."""

from .decode import DEFAULT_PIXEL_LIMIT, decode, decode_picture, decode_sizes, image_size, stretch, stretch_sizes
from .entry import IdRule
from .files import DEFAULT_BYTE_LIMIT, read_file
from .open import Place, open_source
from .picture import BadImage, Picture, PixelImage, PixelSet, UndecodableError
from .sidecars import BESIDE
from .source import Image, Source, describe_ignored
from .stamps import StampKind, Stamps
from .thumbnail import thumbnail

__all__ = [
    "BESIDE",
    "DEFAULT_BYTE_LIMIT",
    "DEFAULT_PIXEL_LIMIT",
    "BadImage",
    "IdRule",
    "Image",
    "Picture",
    "PixelImage",
    "PixelSet",
    "Place",
    "Source",
    "StampKind",
    "Stamps",
    "UndecodableError",
    "decode",
    "decode_picture",
    "decode_sizes",
    "describe_ignored",
    "image_size",
    "open_source",
    "read_file",
    "stretch",
    "stretch_sizes",
    "thumbnail",
]
