"""Reads the bytes of one image, whatever may stand in its place: sniffed first, bounded, never waiting for a pipe."""

import os
import stat
from pathlib import Path

from ..arguments import can_be_path
from .entry import Entry
from .formats import SNIFF_BYTES
from .sniff import may_be_image, why_no_image

DEFAULT_BYTE_LIMIT = 1 << 29
"""Half a gibibyte: more than the default limit of pixels takes without any compression."""

_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # a pipe that stands where a file was must not be waited for


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """``size`` bytes from ``offset`` on, fewer only where the file ends."""
    parts = []
    while size > 0 and (part := os.pread(descriptor, size, offset)):
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_image(descriptor: int, offset: int, size: int, byte_limit: int) -> bytes:
    """The ``size`` bytes of an image that begin at ``offset``; no more than the first few where they are of no image.

    Raises: OSError without an ``errno`` where they are not an image or more than ``byte_limit``; its text is the reason.
    """
    head = read_at(descriptor, offset, min(size, SNIFF_BYTES))
    if head and not may_be_image(head):
        raise OSError(why_no_image(head))
    if size > byte_limit:
        raise OSError(f"{size} bytes exceed the limit of {byte_limit} for one image")
    return read_at(descriptor, offset, size)


def read_file(path: str | os.PathLike[str], byte_limit: int = DEFAULT_BYTE_LIMIT) -> bytes:
    """The bytes of an image file. Raises: OSError, as :func:`read_image` and for what is not a regular file."""
    if not can_be_path(os.fspath(path)):
        raise OSError("no file can have this name")
    mode = os.stat(path).st_mode  # noqa: PTH116
    if not stat.S_ISREG(mode):
        raise OSError("a folder, not an image" if stat.S_ISDIR(mode) else "not a regular file")
    descriptor = os.open(path, _OPEN)
    try:
        return read_image(descriptor, 0, os.fstat(descriptor).st_size, byte_limit)
    finally:
        os.close(descriptor)


def first_bytes(path: str | os.PathLike[str], size: int = SNIFF_BYTES) -> bytes:
    """The first bytes of a file. Raises: OSError."""
    descriptor = os.open(path, _OPEN)
    try:
        return read_at(descriptor, 0, size)
    finally:
        os.close(descriptor)


class FileReader:
    """Reads the entries of a folder or a list, each of which is a file.

    root: what their names are relative to (None: the current folder). origin: ("line", "list.txt") where a list names them, for
    errors.
    """

    def __init__(self, root: Path | None, byte_limit: int, origin: tuple[str, str] | None = None) -> None:
        self._prefix = (
            "" if root is None else f"{root}{os.sep}"
        )  # text: a Path for each image took as long as opening it
        self.byte_limit = byte_limit
        self._origin = origin

    def read(self, entry: Entry) -> bytes:
        try:
            return read_file(self._prefix + entry.name, self.byte_limit)
        except OSError as error:
            if self._origin is None:
                raise
            where = f"({self._origin[0]} {entry.row} of {self._origin[1]})"
            if error.errno is None:
                raise OSError(f"{error} {where}") from None
            raise OSError(error.errno, f"{error.strerror} {where}") from None

    def metadata(self, entry: Entry) -> None:
        """None: a file is an image and no more."""

    def file(self, entry: Entry) -> Path:
        return Path(self._prefix + entry.name)

    def place(self, entry: Entry) -> None:
        """None: each is a file of its own."""

    def state(self, entry: Entry) -> str:
        """Size and time of the last change, or why they cannot be had."""
        try:
            status = os.stat(self._prefix + entry.name)  # noqa: PTH116
        except OSError as error:
            return str(error.strerror)
        return f"{status.st_size} {status.st_mtime_ns}"
