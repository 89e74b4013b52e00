"""Builds small tars, and damages them in a known place."""

import io
import tarfile
from pathlib import Path

from odd_images import encoded, picture

JPEG = encoded(picture(), "JPEG")
NAMES = [f"{letter}.jpg" for letter in "abcdef"]
MEMBER = 512 + (len(JPEG) + 511) // 512 * 512


Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = JPEG, kind: bytes = tarfile.REGTYPE, target: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data) if kind == tarfile.REGTYPE else 0, kind, target
    return info, data


def tar_of(*members: Member, format: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def six() -> bytes:
    """Six images, a.jpg to f.jpg, each ``MEMBER`` bytes with its header."""
    return tar_of(*(member(name) for name in NAMES))


def signed(block: bytes) -> bytes:
    """A header with its checksum put right."""
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + f"{sum(block):06o}\0 ".encode() + block[156:]


def with_size(data: bytes, place: int, field: bytes) -> bytes:
    """The tar with another size field (12 bytes) in the header at ``place``, and a right checksum."""
    header = data[place : place + 512]
    return data[:place] + signed(header[:124] + field.ljust(12, b"\0") + header[136:]) + data[place + 512 :]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
