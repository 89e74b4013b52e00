"""BMPs whose colours lie at any bits of a pixel (BI_BITFIELDS).

Pillow reads the usual layouts only, and OpenCV takes some of the others for one of these.
"""

import re
import struct

import numpy as np

from .picture import Pixels, UndecodableError

UNSUPPORTED_BITFIELDS = re.compile("Unsupported BMP bitfields")  # Pillow's words for them
_HEADER = struct.Struct("<IiiHHI")  # size of the header, width, height, planes, bits per pixel, compression
_MASKS = struct.Struct("<4I")
_FILE_HEADER, _MASKS_AT = 14, 54
_ALPHA_HEADER = 56  # bytes of the first header that has a mask for alpha


def bitfields_size(data: bytes) -> tuple[int, int]:
    """Width and height."""
    _, width, height, *_ = _HEADER.unpack_from(data, _FILE_HEADER)
    return width, abs(height)


def decode_bitfields(data: bytes) -> Pixels:
    """A BMP of 16 or 32 bits per pixel with bit masks -> uint8 RGB [H, W, 3], alpha laid over white.

    Raises: UndecodableError where masks or length make no sense.
    """
    header, width, height, _, bits, _ = _HEADER.unpack_from(data, _FILE_HEADER)
    if bits not in (16, 32) or width < 1:
        raise UndecodableError(f"a BMP with bit masks and {bits} bits per pixel, which cannot be read")
    red, green, blue, alpha = _MASKS.unpack_from(data.ljust(_MASKS_AT + _MASKS.size, b"\0"), _MASKS_AT)
    (start,) = struct.unpack_from("<I", data, 10)
    stride = -(-width * bits // 32) * 4
    if len(data) < start + stride * abs(height):
        raise UndecodableError("corrupt or truncated image: the BMP ends inside its pixels")
    rows = np.frombuffer(data, np.uint8, stride * abs(height), start).reshape(abs(height), stride)
    pixels = rows.view("<u2" if bits == 16 else "<u4")[:: -1 if height > 0 else 1, :width]
    colours = [_channel(pixels, mask) for mask in (red, green, blue)]
    if alpha and header >= _ALPHA_HEADER:
        opacity = _channel(pixels, alpha).astype(np.uint16)
        colours = [((colour * opacity + (255 - opacity) * 255 + 127) // 255).astype(np.uint8) for colour in colours]
    return np.stack(colours, axis=2)


def _channel(pixels: np.ndarray[tuple[int, int], np.dtype[np.uint32]], mask: int) -> Pixels:
    """The bits under a mask, brought to 0 to 255."""
    shift = (mask & -mask).bit_length() - 1
    largest = mask >> max(shift, 0)
    if mask == 0 or largest & (largest + 1):
        raise UndecodableError(f"corrupt or truncated image: the BMP has a bit mask of {mask:#x}")
    values = ((pixels & np.uint32(mask)) >> np.uint32(shift)).astype(np.uint32)
    if largest > 255:
        return (values >> np.uint32(largest.bit_length() - 8)).astype(np.uint8)
    return ((values * np.uint32(255) + np.uint32(largest // 2)) // np.uint32(largest)).astype(np.uint8)
