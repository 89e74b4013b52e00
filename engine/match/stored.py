"""Local features and thumbnails as bytes: the form in which a collection keeps them of every reference.

==========  ===========================================================================================
features    small width, small height, original width, original height (uint32 each), then F rows of
            136 bytes: the descriptor, and the keypoint in eight bytes (``LocalFeatures.to_rows``)
thumbnail   height, width (uint16 each), then the grey pixels, row by row
==========  ===========================================================================================

All numbers have their lower byte first. A thumbnail is kept as it is and not as a JPEG, so that a score does not depend on
whether a reference was stored.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from ..errors import MatchError
from .features import ROW_BYTES, LocalFeatures
from .grey import Frame, Grey

FEATURES, THUMBNAIL = "features", "thumbnail"
FEATURES_VERSION = 1
"""Goes up with the form of the bytes, and with everything that makes other features of the same picture."""
THUMBNAIL_VERSION = 1

_FRAME = struct.Struct("<4I")
_SHAPE = struct.Struct("<2H")


def features_to_bytes(features: LocalFeatures) -> bytes:
    """The bytes to store."""
    frame = features.frame
    head = _FRAME.pack(frame.width, frame.height, frame.original_width, frame.original_height)
    return head + features.to_rows().tobytes()


def features_from_bytes(data: bytes) -> LocalFeatures:
    """The inverse of ``features_to_bytes``. Raises: MatchError for other bytes."""
    if len(data) < _FRAME.size or (len(data) - _FRAME.size) % ROW_BYTES:
        raise MatchError(f"{len(data)} bytes are no local features")
    frame = Frame(*_FRAME.unpack_from(data))
    rows = np.frombuffer(data, np.uint8, offset=_FRAME.size).reshape(-1, ROW_BYTES)
    if min(frame.width, frame.height, frame.original_width, frame.original_height) < 1:
        raise MatchError("local features of a picture without pixels")
    try:
        return LocalFeatures.from_rows(rows, frame)
    except ValueError as error:
        raise MatchError(f"these are no local features: {error}") from None


def feature_count(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many features there are in so many bytes, int64 [N] -> int64 [N]."""
    return np.maximum(lengths - _FRAME.size, 0) // ROW_BYTES


def thumbnail_to_bytes(grey: Grey) -> bytes:
    """The bytes to store of a grey picture uint8 [h, w]."""
    return _SHAPE.pack(*grey.shape) + grey.tobytes()


def thumbnail_from_bytes(data: bytes) -> Grey:
    """The inverse of ``thumbnail_to_bytes``. Raises: MatchError for other bytes."""
    height, width = _SHAPE.unpack_from(data) if len(data) >= _SHAPE.size else (0, 0)
    if height * width == 0 or len(data) != _SHAPE.size + height * width:
        raise MatchError(f"{len(data)} bytes are no thumbnail")
    return np.frombuffer(data, np.uint8, offset=_SHAPE.size).reshape(height, width)
