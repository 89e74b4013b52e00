"""What a file is by its first bytes, where it is given for an image or for a source of images."""

import re

from .formats import SNIFF_BYTES, has_image_bytes, unread_format_name

# Too weak to tell an image from text, but enough not to turn down what is named like one: netpbm's formats and Pillow's
# own, and bitmaps without their first or second header.
_PERHAPS = re.compile(rb"P[0-6fy]|BM|[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0|MM\*\0|II\0\*")
_COMPRESSED = "compressed"

_NO_IMAGES = (
    (re.compile(rb"\x1f\x8b"), f"{_COMPRESSED} (gzip)"),
    (re.compile(rb"BZh[1-9]"), f"{_COMPRESSED} (bzip2)"),
    (re.compile(rb"\xfd7zXZ\0"), f"{_COMPRESSED} (xz)"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), f"{_COMPRESSED} (Zstandard)"),
    (re.compile(rb"PK(?:\x03\x04|\x05\x06)"), "a ZIP archive"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7z archive"),
    (re.compile(rb"Rar!\x1a\x07"), "a RAR archive"),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), "an HDF5 file"),
    (re.compile(rb"\x93NUMPY"), "a NumPy array"),
    (re.compile(rb"PAR1"), "a Parquet file"),
    (re.compile(rb"SQLite format 3\0"), "an SQLite database"),
    (re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"....ftyp", re.DOTALL), "a video, or an image of an unknown ISO format"),
)


def may_be_image(head: bytes) -> bool:
    """Whether a file that is named like an image may be one, by its first ``SNIFF_BYTES`` bytes."""
    return has_image_bytes(head) or _PERHAPS.match(head) is not None


def other_kind(head: bytes) -> str | None:
    """What a file is that is no image read here; None where its first bytes do not tell."""
    if (name := unread_format_name(head)) is not None:
        return f"{name}, which is not read"
    return next((name for pattern, name in _NO_IMAGES if pattern.match(head)), None)


def is_compressed(head: bytes) -> bool:
    """Whether a file is one that was compressed as a whole, such as a tar."""
    return (other_kind(head[:SNIFF_BYTES]) or "").startswith(_COMPRESSED)


def why_no_image(head: bytes) -> str:
    """The reason why what is named like an image is not read, where ``may_be_image`` says that it is none."""
    if (name := unread_format_name(head)) is not None:
        return f"not an image that can be read here: {name} files are not read"
    kind = other_kind(head)
    return "not an image, or of an unknown format" + (f": {kind}" if kind else "")
