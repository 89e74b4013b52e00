"""What a JPEG says of itself before it is decoded: size, channels, and whether its end is there."""

from dataclasses import dataclass

_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Width and height as stored (before EXIF orientation), channels, and whether an end-of-image marker follows the scan."""

    width: int
    height: int
    channels: int
    complete: bool


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Walk the segments of a JPEG (ITU-T T.81, annex B) up to its first scan; None when they make no sense."""
    position, frame = 2, None
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a segment
            position += 2
            continue
        if marker == _START_OF_SCAN:
            if frame is None:
                return None
            return JpegHeader(*frame, complete=data.rfind(b"\xff\xd9", position) >= 0)
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in _FRAME_MARKERS:
            if position + 10 > len(data):
                return None
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            width = int.from_bytes(data[position + 7 : position + 9], "big")
            frame = (width, height, data[position + 9])
        position += 2 + length
    return None
