"""Which files are images: by name, and by their first bytes where the name does not tell."""

import re
from pathlib import PurePath

SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        *(".png", ".apng", ".webp", ".gif", ".avif", ".avifs", ".heic", ".heif", ".heics", ".heifs", ".hif"),
        *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    }
)
SNIFF_BYTES = 16
HEIF = "HEIC/HEIF"

# Brands of ISO base media files (ISO/IEC 23008-12); "mif1" and "msf1" may hold either codec.
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"heif")

_READ = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"II\*\0|MM\0\*"), "TIFF"),
    (re.compile(rb"II\+\0|MM\0\+"), "BigTIFF"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WebP"),
    (re.compile(rb"BM....\0{4}", re.DOTALL), "BMP"),
    (re.compile(rb"\0\0\0\x0cjP {2}\r\n\x87\n|\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"P[1-6]\s+[0-9#]"), "PNM"),
    (re.compile(rb"....ftyp(?:%b)" % b"|".join(_AVIF_BRANDS), re.DOTALL), "AVIF"),
    (re.compile(rb"....ftyp(?:%b)" % b"|".join(_HEIF_BRANDS), re.DOTALL), HEIF),
)
# Images that nothing in use here reads, or reads without asking other programs; named so that nobody has to guess.
_NOT_READ = (
    (re.compile(rb"8BPS"), "Photoshop (PSD)"),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"), "JPEG XL"),
    (re.compile(rb"II\xbc\x01"), "JPEG XR"),
    (re.compile(rb"P7\n|P[Ff]\s"), "PAM or PFM"),
    (re.compile(rb"\0\0[\1\2]\0[^\0]\0", re.DOTALL), "ICO or CUR"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "PostScript"),
    (re.compile(rb"%PDF-"), "PDF"),
    (re.compile(rb"\x76\x2f\x31\x01"), "OpenEXR"),
    (re.compile(rb"#\?RADIANCE|#\?RGBE"), "Radiance HDR"),
    (re.compile(rb"DDS "), "DDS"),
    (re.compile(rb"(?:\xef\xbb\xbf)?\s*<svg"), "SVG"),
    (re.compile(rb"FUJIFILMCCD-RAW|IIRO|IIU\0|....ftypcrx ", re.DOTALL), "camera raw"),
)


def is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


def is_heif(data: bytes) -> bool:
    return format_name(data) == HEIF


def has_image_name(name: str) -> bool:
    return PurePath(name).suffix.lower() in SUFFIXES


def has_image_bytes(head: bytes) -> bool:
    """Whether the first ``SNIFF_BYTES`` bytes of a file are those of an image format that is read."""
    return format_name(head) is not None


def format_name(head: bytes) -> str | None:
    """The format that is read and whose first bytes these are; None for all others."""
    return next((name for pattern, name in _READ if pattern.match(head)), None)


def unread_format_name(head: bytes) -> str | None:
    """The image format that is known but not read and whose first bytes these are."""
    return next((name for pattern, name in _NOT_READ if pattern.match(head)), None)
