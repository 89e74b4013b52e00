"""Which files are images: by name, and by their first bytes where the name does not tell."""

from pathlib import PurePath

SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2"),
        *(".png", ".apng", ".webp", ".gif", ".avif", ".heic", ".heif"),
        *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    }
)
SNIFF_BYTES = 16

_MAGIC = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\x00",  # TIFF, little-endian
    b"MM\x00*",  # TIFF, big-endian
)


def is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


def has_image_name(name: str) -> bool:
    return PurePath(name).suffix.lower() in SUFFIXES


def has_image_bytes(head: bytes) -> bool:
    """Whether the first ``SNIFF_BYTES`` bytes of a file are those of an image format."""
    return (
        head.startswith(_MAGIC)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:2] == b"BM" and head[6:10] == b"\x00" * 4)
        or (head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"heic", b"heix", b"mif1"))
    )
