"""From a source to pixels: ids and bytes (``source``), bytes to uint8 RGB (``decode``), one definition of both."""

from .decode import DEFAULT_PIXEL_LIMIT, BadImage, UndecodableError, decode, stretch
from .source import IdRule, Image, Source, open_source
from .thumbnail import thumbnail

__all__ = [
    "DEFAULT_PIXEL_LIMIT",
    "BadImage",
    "IdRule",
    "Image",
    "Source",
    "UndecodableError",
    "decode",
    "open_source",
    "stretch",
    "thumbnail",
]
