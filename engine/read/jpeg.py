"""What a JPEG says of itself before it is decoded: size, channels, orientation, and whether all of it is there.

The markers are those of ITU-T T.81, annex B.
"""

import re
from dataclasses import dataclass

_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_PROCESSES = {
    **dict.fromkeys((0xC3, 0xCB), "lossless"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"),
}
_ORIENTATION = 0x0112
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # neither a stuffed byte of the data nor a restart marker


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """The frame of a JPEG and what surrounds it.

    width, height: as stored, before the EXIF ``orientation`` (1 to 8). channels: of the frame. precision: bits per sample.
    process: the low byte of the frame's marker, 0xC0 for baseline. scan: position of the first scan's marker. complete: an
    end-of-image marker follows it.
    """

    width: int
    height: int
    channels: int
    precision: int
    process: int
    orientation: int
    scan: int
    complete: bool

    @property
    def progressive(self) -> bool:
        return self.process in _PROGRESSIVE

    @property
    def unusual(self) -> str | None:
        """What sets it apart from the JPEGs that decoders of 8-bit pictures know, or None."""
        return f"{self.precision}-bit" if self.precision != 8 else _PROCESSES.get(self.process)


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Walk the segments of a JPEG up to its first scan; None when they make no sense."""
    position, orientation = 2, 1
    frame: tuple[int, int, int, int, int] | None = None
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
            return JpegHeader(*frame, orientation, position, complete=data.rfind(b"\xff\xd9", position) >= 0)
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in _FRAME_MARKERS:
            if position + 10 > len(data):
                return None
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            width = int.from_bytes(data[position + 7 : position + 9], "big")
            frame = (width, height, data[position + 9], data[position + 4], marker)
        elif marker == _APP1 and orientation == 1 and data[position + 4 : position + 10] == b"Exif\0\0":
            orientation = read_orientation(data[position + 10 : position + 2 + length])
        position += 2 + length
    return None


def read_orientation(exif: bytes) -> int:
    """The orientation (1 to 8) in the first directory of an EXIF block (a TIFF without its picture); 1 where there is none."""
    if exif[:2] not in (b"II", b"MM"):
        return 1

    def number(start: int, size: int) -> int:
        return int.from_bytes(exif[start : start + size], "little" if exif[:2] == b"II" else "big")

    directory = number(4, 4)
    for entry in range(directory + 2, directory + 2 + 12 * number(directory, 2), 12):
        if entry + 12 > len(exif):
            return 1
        if number(entry, 2) == _ORIENTATION:
            value = number(entry + 8, 2)
            return value if 1 <= value <= 8 else 1
    return 1


def missing_scans(data: bytes, header: JpegHeader) -> bool:
    """Whether the scans up to the end marker leave out a channel, a coefficient or its last bits.

    libjpeg takes a picture that was cut between two scans for a whole one.
    """
    if not header.progressive and data[header.scan + 4] == header.channels:
        return False  # one scan with everything, as nearly always
    bits_left: dict[
        int, list[int]
    ] = {}  # by channel: for each of its 64 coefficients the bits not sent yet, 13 for none sent
    position = header.scan
    while True:
        if data[position + 1] == _START_OF_SCAN:
            count = data[position + 4]
            parameters = data[position + 5 + 2 * count : position + 8 + 2 * count]
            if len(parameters) < 3:
                break
            first, last, low = (parameters[0], parameters[1], parameters[2] & 15) if header.progressive else (0, 63, 0)
            for channel in data[position + 5 : position + 5 + 2 * count : 2]:
                bits_left.setdefault(channel, [13] * 64)[first : last + 1] = [low] * (last + 1 - first)
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        found = _NEXT_MARKER.search(data, position)
        if found is None or data[found.start() + 1] == _END_OF_IMAGE:
            break
        position = found.start()
    return len(bits_left) < header.channels or any(any(bits) for bits in bits_left.values())
