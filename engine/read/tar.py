"""Walks the members of a tar strictly: what is damaged is said where ``tarfile`` takes it for the end.

Single headers are parsed by ``tarfile.TarInfo``. Formats: V7, ustar, GNU and pax (POSIX.1-2001, "pax Interchange Format").
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .files import read_at

BLOCK = tarfile.BLOCKSIZE
Kind = Literal["file", "sparse", "part", "hard link", "symbolic link", "folder", "special"]

_KINDS: dict[bytes, Kind] = {
    **dict.fromkeys((tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE), "file"),
    tarfile.GNUTYPE_SPARSE: "sparse",
    b"M": "part",  # what the volume before this one had no room for
    tarfile.LNKTYPE: "hard link",
    tarfile.SYMTYPE: "symbolic link",
    **dict.fromkeys((tarfile.DIRTYPE, b"D"), "folder"),  # D: GNU's folder with a list of what was in it
}
_WITHOUT_DATA = frozenset(
    {tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE}
)
_PAX = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_LONG = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_NAMING = frozenset({*_PAX, *_LONG})  # headers that change what the next one says
_LONGEST_EXTENSION = 1 << 20
_MAGIC, _MAGIC_OFFSET = b"ustar", 257
_SEARCHED = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A member as its headers describe it. ``offset`` and ``size`` are those of its data, ``target`` is what a link leads to.

    uncertain: whether a header that named it may have been lost, so that its name may not be this one.
    """

    name: str
    kind: Kind
    offset: int
    size: int
    changed: float
    target: str
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where the archive makes no sense, and in one line what is wrong there."""

    offset: int
    reason: str


class _UnusableError(Exception):
    """A header with a right checksum and impossible contents; the text is the reason."""


def walk(descriptor: int, length: int) -> Iterator[Member | Damage]:
    """All members of the uncompressed tar of ``length`` bytes, and its damages, in their order.

    After a damage it goes on at the next block that is a header beyond doubt (by its magic and its checksum). A member whose
    data go beyond the end is the last.
    """
    position = 0
    extensions: dict[str, str] = {}
    lost = b""  # the damaged header before this one, and what follows it up to here
    while True:
        block = read_at(descriptor, position, BLOCK)
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            end, data = _extent(descriptor, position, header, extensions)
            if header.type in _NAMING:
                extensions |= _extension(descriptor, header, data)
            elif header.type in (tarfile.XGLTYPE, b"V"):  # neither of which names a member
                if end > length:
                    raise _UnusableError("an extended header that goes beyond the end")
            else:
                member = _member(header, data, extensions, _is_uncertain(header, lost))
                extensions, lost = {}, b""
                yield member
                if member.offset + member.size > length:
                    return
            position = end
            continue
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            reason, start = _end(descriptor, position, length)
            if reason is None:
                return
        except (tarfile.HeaderError, _UnusableError) as error:
            reason, start = _unreadable(block, error), position + BLOCK
        following = _next_header(descriptor, start, length) if len(block) == BLOCK else None
        if following is not None:
            reason += f"; going on {following - position} bytes later"
        yield Damage(position, reason)
        if following is None:
            return
        lost = read_at(descriptor, position, min(following - position, _LONGEST_EXTENSION))
        extensions, position = {}, following


def is_header(block: bytes) -> bool:
    """Whether a block is the header of a member, by its checksum; an all-zero block is not."""
    try:
        tarfile.TarInfo.frombuf(block[:BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def has_magic(block: bytes) -> bool:
    """Whether a block says of itself, damaged or not, that it is a header (those of before 1988 do not)."""
    return block.startswith(_MAGIC, _MAGIC_OFFSET)


def _extent(descriptor: int, position: int, header: tarfile.TarInfo, extensions: dict[str, str]) -> tuple[int, int]:
    """(where the next header is, where the data are); sets the size that a pax header gave."""
    data = position + BLOCK
    if header.type == tarfile.GNUTYPE_SPARSE:
        more = read_at(descriptor, position, BLOCK)[482]
        while more:
            block = read_at(descriptor, data, BLOCK)
            data += BLOCK
            more = block[504] if len(block) == BLOCK else 0
    if header.type not in _NAMING and "size" in extensions:
        if not extensions["size"].isascii() or not extensions["size"].isdigit() or len(extensions["size"]) > 20:
            raise _UnusableError(f"a size of {extensions['size'][:20]!r}")
        header.size = int(extensions["size"])
    if header.size < 0:
        raise _UnusableError(f"a size of {header.size}")
    size = 0 if header.type in _WITHOUT_DATA else header.size
    return data + (size + BLOCK - 1) // BLOCK * BLOCK, data


def _extension(descriptor: int, header: tarfile.TarInfo, offset: int) -> dict[str, str]:
    """What a pax header or one with a long name says of the next member."""
    if header.size > _LONGEST_EXTENSION:
        raise _UnusableError(f"an extended header of {header.size} bytes")
    data = read_at(descriptor, offset, header.size)
    if len(data) < header.size:
        raise _UnusableError("an extended header that goes beyond the end")
    if header.type in _LONG:
        return {_LONG[header.type]: _text(data.partition(b"\0")[0])}
    return _pax_records(data)


def _pax_records(data: bytes) -> dict[str, str]:
    """``<length> <keyword>=<value>\\n`` for ever; the length counts the whole record."""
    records = {}
    while data.strip(b"\0"):
        digits, space, _ = data[:20].partition(b" ")
        length = int(digits) if digits.isdigit() and space else 0
        keyword, equals, value = data[len(digits) + 1 : length].partition(b"=")
        if not equals or not value.endswith(b"\n") or length > len(data):
            raise _UnusableError("an extended header that cannot be read")
        records[_text(keyword)] = _text(value[:-1])
        data = data[length:]
    return records


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _member(header: tarfile.TarInfo, offset: int, extensions: dict[str, str], uncertain: bool) -> Member:
    kind = _KINDS.get(header.type, "special")
    name = extensions.get("GNU.sparse.name") or extensions.get("path") or header.name
    if any(key.startswith("GNU.sparse.") for key in extensions):
        kind = "sparse"  # a pax archive stores it as a file, its map before the data
    if not name:
        raise _UnusableError("a member without a name")
    return Member(
        name=name,
        kind=kind,
        offset=offset,
        size=0 if header.type in _WITHOUT_DATA else header.size,
        changed=header.mtime,
        target=extensions.get("linkpath") or header.linkname,
        uncertain=uncertain,
    )


def _is_uncertain(header: tarfile.TarInfo, lost: bytes) -> bool:
    """Whether the header that was lost before this one may have named it, as one does where a name is long or not ASCII."""
    if not lost:
        return False
    if lost[156:157] in _PAX or b"PaxHeader" in lost[:100]:
        try:
            return not {"path", "size"}.isdisjoint(
                _pax_records(lost[BLOCK:])
            )  # often there is no more in it than a time
        except _UnusableError:
            return True
    long = lost[156:157] in _LONG or b"@LongLink" in lost[:100]
    return long or len(os.fsencode(header.name)) >= tarfile.LENGTH_NAME


def _unreadable(block: bytes, error: Exception) -> str:
    if not block:
        return "it ends without the two empty blocks of its end; it may have been cut off"
    if len(block) < BLOCK:
        return "cut off inside a header"
    if isinstance(error, _UnusableError):
        return f"damaged: {error}"
    return "damaged: a header with a wrong checksum"


def _end(descriptor: int, position: int, length: int) -> tuple[str | None, int]:
    """What is wrong with the end that begins at ``position`` (None: nothing), and from where to look for more members."""
    second = read_at(descriptor, position + BLOCK, BLOCK)
    if len(second) < BLOCK:
        return "it ends after one of the two empty blocks of its end; it may have been cut off", position + BLOCK
    if second.strip(b"\0"):
        return "damaged: an empty block in the place of a header", position + BLOCK
    if _next_header(descriptor, position + 2 * BLOCK, length) is None:
        return None, length  # what else may follow the end is undefined
    return "damaged: more members follow its end", position + 2 * BLOCK


def _next_header(descriptor: int, position: int, length: int) -> int | None:
    """The place of the first block from ``position`` on that has a header's magic and a right checksum."""
    for start in range(position, length, _SEARCHED):
        chunk = read_at(descriptor, start, _SEARCHED)
        found = chunk.find(_MAGIC)
        while found >= 0:
            block = found - _MAGIC_OFFSET
            if block >= 0 and block % BLOCK == 0 and is_header(chunk[block : block + BLOCK]):
                return start + block
            found = chunk.find(_MAGIC, found + 1)
    return None
