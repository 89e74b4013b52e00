"""Multipart bodies (RFC 7578), cut at their boundaries when they are whole: images are in memory anyway, and are not walked
through byte by byte.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header

# What nearly every client writes; all else is left to the library.
_USUAL = re.compile(rb'form-data; name="([^"\\]*)"(?:; filename="([^"\\]*)")?')
_AFTER = re.compile(rb"--|[ \t]*\r\n")  # behind a boundary: the body ends, or a part begins
MOST_HEADER_BYTES = 16 << 10
_DISPOSITION = b"content-disposition:"


class MultipartError(ValueError):
    """The body is no multipart body, or is cut off."""


@dataclass(frozen=True, slots=True)
class Part:
    """filename: None where it is a field and no file."""

    name: str
    filename: str | None
    data: bytes

    @property
    def text(self) -> str:
        return _text(self.data)


def parts_of(content_type: str, body: bytes) -> Iterator[Part]:
    """The parts one after the other; whoever counts them may stop. Raises: MultipartError."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise MultipartError("the content type has no boundary")
    delimiter = b"\r\n--" + boundary
    first = _AFTER.match(body, len(delimiter) - 2) if body.startswith(delimiter[2:]) else None
    place, more = (first.end(), first[0] != b"--") if first else _delimiter(body, delimiter, 0)[1:]
    while more:
        data = body.find(b"\r\n\r\n", place, place + MOST_HEADER_BYTES) + 4
        name, filename = _names(body[place : max(data - 4, place)])
        end, place, more = _delimiter(body, delimiter, data)
        yield Part(name, filename, body[data:end])


def _delimiter(body: bytes, delimiter: bytes, place: int) -> tuple[int, int, bool]:
    """Where the next boundary begins, where it ends, and whether a part follows. Raises: MultipartError."""
    while (found := body.find(delimiter, place)) >= 0:
        place = found + len(delimiter)
        after = _AFTER.match(body, place)
        if after:
            return found, after.end(), after[0] != b"--"
    raise MultipartError("the body is cut off")


def _names(header: bytes) -> tuple[str, str | None]:
    """Of a part and of its file. Raises: MultipartError for a part that does not say what it is."""
    for line in header.split(b"\r\n"):
        if line[: len(_DISPOSITION)].lower() == _DISPOSITION:
            disposition = line[len(_DISPOSITION) :].strip()
            usual = _USUAL.fullmatch(disposition)
            if usual:
                name, filename = usual.groups()
            else:
                options = parse_options_header(disposition)[1]
                name, filename = options.get(b"name"), options.get(b"filename")
            if name is not None:
                return _text(name), None if filename is None else _text(filename)
    raise MultipartError('a part has no Content-Disposition with a "name"')


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
