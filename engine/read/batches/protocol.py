"""What decodes many JPEGs at a time, as the rest of the engine sees it."""

from collections.abc import Sequence
from typing import Literal, Protocol

from ...device import DeviceArray
from ..picture import PixelSet
from .checked import CheckedJpeg

BatchDecoderName = Literal["dali", "nvimgcodec"]
Squares = PixelSet | tuple[DeviceArray, ...]
"""One picture, uint8 RGB [S, S, 3], for each of several sizes S: in the memory of the host, or of a card."""


class JpegDecoder(Protocol):
    """Decodes JPEGs many at a time, and makes them upright squares. Safe to use from several threads."""

    name: BatchDecoderName

    def __call__(self, files: Sequence[CheckedJpeg]) -> list[Squares | None]:
        """The squares of each; None for what it cannot decode, and the CPU's decoder may."""
        ...
