"""Paths as a source: a text with one a line (a file or standard input), or any iterable of them."""

import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..arguments import can_be_path
from ..errors import SourceError
from .entry import Entry, IdRule, image_id, shown
from .files import FileReader
from .formats import has_image_bytes, has_image_name
from .several import holds_many, list_several
from .sniff import other_kind
from .source import Listing
from .tar import BLOCK, has_magic

_LONGEST_LINE = 1 << 15
_BLANKS = " \t\f\v"


def list_text(stream: io.BufferedReader, name: str, folder: Path, rule: IdRule, byte_limit: int) -> Listing:
    """The images whose paths are in a text, one a line.

    The text is UTF-8, or UTF-16 with its mark; lines end in LF or CRLF. Blank lines, blanks around a path, quotes around it and
    lines that begin with ``#`` are not part of a path, unless there is a file with exactly that name. A relative path starts at
    the current folder or, where nothing is there, at ``folder``.
    Raises: SourceError for anything that is not such a text; OSError.
    """
    entries = []
    for row, line in _lines(stream, name):
        text = _path_in(line)
        if text is not None:
            found = _find(text, folder)
            entries.append(Entry(image_id(text if rule == "path" else found, rule), found, row))
    _check(entries, name)
    if (many := _several(entries, name)) is not None:
        return list_several(Path(), many, rule, byte_limit)
    return Listing(entries, [], Counter(), FileReader(None, byte_limit, ("line", name)))


def list_paths(paths: Iterable[str | os.PathLike[str]], name: str, rule: IdRule, byte_limit: int) -> Listing:
    """The images at ``paths``, each taken as it is. Raises: TypeError for what is no path; SourceError."""
    entries = []
    for row, path in enumerate(paths):
        if not isinstance(path, str | os.PathLike) or not isinstance(text := os.fspath(path), str):
            raise TypeError(f"item {row} of {name} must be a path (str or os.PathLike), not {type(path).__name__}")
        if not can_be_path(text):
            raise SourceError(f"item {row} of {name}: {text!r} cannot be the path of a file")
        entries.append(Entry(image_id(text, rule), text, row))
    if entries and not any(_exists(entry.name) for entry in entries):
        raise SourceError(f"{name}: none of the {len(entries)} files is there; the first is {shown(entries[0].name)}")
    if (many := _several(entries, name)) is not None:
        return list_several(Path(), many, rule, byte_limit)
    return Listing(entries, [], Counter(), FileReader(None, byte_limit, ("item", name)))


def _lines(stream: io.BufferedReader, name: str) -> Iterator[tuple[int, str]]:
    """(number from 1, line without its end) of a text."""
    head = stream.peek(BLOCK)
    kind = "an image" if has_image_bytes(head) else "a tar" if has_magic(head) else other_kind(head)
    if kind is not None:
        raise SourceError(f"{name}: {kind}, where a text with one path a line is needed")
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    # Names of files need not be UTF-8, and then a list of them is not either.
    text = io.TextIOWrapper(stream, *(("utf-16", "strict") if wide else ("utf-8-sig", "surrogateescape")), newline="\n")
    try:
        for row, line in enumerate(iter(lambda: text.readline(_LONGEST_LINE), ""), start=1):
            if "\0" in line:
                raise SourceError(
                    f"{name}: not a folder, a tar, an image or a text file of paths (line {row} holds NUL)"
                )
            if len(line) == _LONGEST_LINE:
                raise SourceError(f"{name}: not a text file of paths: line {row} is longer than any path")
            yield row, line.removesuffix("\n").removesuffix("\r")
    except UnicodeError:
        raise SourceError(f"{name}: not a folder, a tar, an image or a text file of paths") from None
    finally:
        text.detach()


def _several(entries: list[Entry], name: str) -> list[str] | None:
    """The files that hold many images each, where the paths are theirs. Raises: SourceError for some of either kind."""
    many = [entry.name for entry in entries if holds_many(entry.name)]
    if not many:
        return None
    if len(many) < len(entries):
        other = next(entry.name for entry in entries if not holds_many(entry.name))
        raise SourceError(f"{name}: holds {shown(many[0])}, of many images, and {shown(other)}; give one kind")
    return many


def _path_in(line: str) -> str | None:
    """The path a line holds, or None."""
    text = line.strip(_BLANKS)
    if text and text != line and _exists(line):
        return line
    if not text or (text.startswith("#") and not _exists(text)):
        return None
    if len(text) > 2 and text[0] == text[-1] and text[0] in "'\"" and not _exists(text):
        return text[1:-1].replace(text[0] * 2, text[0])  # doubled inside, as tables write it
    return text


def _find(text: str, folder: Path) -> str:
    if not Path(text).is_absolute() and not _exists(text) and _exists(folder / text):
        return str(folder / text)
    return text


def _exists(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # not every line of a text can be the name of a file
        return False


def _check(entries: list[Entry], name: str) -> None:
    """Tell a list of paths from any other text: most of it must name images, and something must be there."""
    if not entries:
        raise SourceError(f"{name}: no paths in it")
    strange = [entry for entry in entries if not has_image_name(entry.name) and not _exists(entry.name)]
    if 2 * len(strange) > len(entries):
        line = strange[0].name if len(strange[0].name) <= 60 else strange[0].name[:60] + "..."
        raise SourceError(f"{name}: a text, but not a list of image paths: line {strange[0].row} is {line!r}")
    if not any(_exists(entry.name) for entry in entries):
        first = f"line {entries[0].row} is {entries[0].name!r}"
        raise SourceError(f"{name}: none of the {len(entries)} files it lists is there; {first}")
