"""From a source to pixels: ids and bytes (``source``), bytes to uint8 RGB (``decode``), one definition of both."""

from .decode import DEFAULT_PIXEL_LIMIT, decode, decode_picture, stretch
from .picture import BadImage, Picture, UndecodableError
from .source import IdRule, Image, Source, open_source
from .thumbnail import thumbnail

__all__ = [
    "DEFAULT_PIXEL_LIMIT",
    "BadImage",
    "IdRule",
    "Image",
    "Picture",
    "Source",
    "UndecodableError",
    "decode",
    "decode_picture",
    "open_source",
    "stretch",
    "thumbnail",
]
