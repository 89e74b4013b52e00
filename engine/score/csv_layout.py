"""CSV files by many hands: which delimiter, whether there is a header, which column is which. Odd lines are refused."""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from ..errors import ScoreError

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon"}
_LONGEST_FIELD = 2**31 - 1
_csv = partial(csv.reader, skipinitialspace=True, strict=True)
_WORDS = """q query queries qry r ref refs reference references db database image images img picture photo file filename
    name path url id ids key source target original copy copies edited candidate match label labels truth ground gt answer
    score scores distance class left right"""
_COLUMN_NAME = re.compile(f"(?:{'|'.join(_WORDS.split())})+")


@dataclass(frozen=True)
class Column:
    """A column: the name copytrace writes, and what others call it, as a pattern of lower-case letters and digits."""

    name: str
    others: str

    def places(self, header: Sequence[str]) -> list[int]:
        """Where a header has this column: under its own name, or else under the others."""
        names = [_squeezed(cell) for cell in header]
        own = [i for i, name in enumerate(names) if name == _squeezed(self.name)]
        return own or [i for i, name in enumerate(names) if re.fullmatch(self.others, name)]


def like_column_names(cells: Sequence[str]) -> bool:
    """Whether a cell reads like the name of a column rather than like an id."""
    return any(_COLUMN_NAME.fullmatch(_squeezed(cell)) for cell in cells)


def _squeezed(cell: str) -> str:
    return re.sub(r"[\W_]+", "", cell).lower()


class Table:
    """The wanted columns of a CSV file, row by row, cells stripped; comma, tab or semicolon; in UTF-8.

    A header is recognised by its names whatever their case and order, other columns are left out. Before it there may be blank
    lines and comments (``#``). Without a header the first line that is neither must be a row, as ``is_row`` decides.

    Use it in ``with``: a ScoreError raised inside gets the file and the line read last put in front of it.
    """

    def __init__(
        self, path: str | os.PathLike[str], columns: Sequence[Column], is_row: Callable[[list[str]], bool]
    ) -> None:
        self.path = Path(path)
        self.columns = columns
        self.header: list[str] | None = None
        self._is_row = is_row
        self.line = 0
        csv.field_size_limit(_LONGEST_FIELD)  # one setting for the whole process; its default is 131,072 characters

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, ScoreError):
            line = f": line {self.line}" if self.line else ""
            raise ScoreError(f"{self.path}{line}: {error}") from None

    def __iter__(self) -> Iterator[list[str]]:
        text = self._text()
        comments, start, skipped = _preamble(text)
        self.line = skipped + 1 if start < len(text) else 0
        delimiter, places, width = self._layout(text[start:], comments)
        self.line = skipped
        reader = _csv(io.StringIO(text[start:], newline=""), delimiter=delimiter)
        below = self.header is not None
        try:
            for row in reader:
                self.line = skipped + reader.line_num
                cells = [cell.strip() for cell in row]
                if cells in ([], [""]):
                    continue
                if below:
                    below = False  # this row is the header
                    continue
                self._check_row(cells, places, width, delimiter)
                yield [cells[place] for place in places]
        except csv.Error as error:
            self.line += 1
            raise ScoreError(f"broken quotes ({error})") from None
        self.line = 0

    def _text(self) -> str:
        try:
            text = self.path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise ScoreError(error.strerror or str(error)) from None
        except UnicodeDecodeError:
            raise ScoreError("not a UTF-8 text file") from None
        if "\0" in text:
            raise ScoreError("not a text file: it has zero bytes")
        return text

    def _layout(self, body: str, comments: list[str]) -> tuple[str, Sequence[int], int]:
        """The delimiter, where the columns are, and how many cells a row has; finds the header."""
        firsts = {delimiter: _first_record(body, delimiter) for delimiter in DELIMITERS}
        for delimiter, first in firsts.items():
            if first and (places := self._places(first)):
                self.header = first
                return delimiter, places, len(first)
        for delimiter, first in firsts.items():
            above = _first_record(comments[-1], delimiter) if comments else None
            if above and (places := self._places(above)) and (first is None or len(first) == len(above)):
                return delimiter, places, len(above)
        expected = ", ".join(column.name for column in self.columns)
        rows = [delimiter for delimiter, first in firsts.items() if first and self._is_row(first)]
        if not rows and body:
            found = _columns(firsts[","]) if firsts[","] else "broken quotes"
            raise ScoreError(f"{found}, expected {expected}: neither a header with those names nor, without one, a row")
        if not rows:
            raise ScoreError(f"nothing in it, not even a header ({expected})")
        if len(rows) > 1:
            raise ScoreError(f"comma or another delimiter? Put the header {expected} on top")
        for comment in comments:
            if self._is_row(_first_record("#" + comment, rows[0]) or []):
                raise ScoreError(f"is {'#' + comment!r} above a comment or a row? Put the header {expected} on top")
        return rows[0], range(len(self.columns)), len(self.columns)

    def _places(self, header: list[str]) -> list[int] | None:
        """Where the wanted columns are, if these cells are their header."""
        found = [column.places(header) for column in self.columns]
        if not all(found):
            return None
        for column, places in zip(self.columns, found, strict=True):
            if len(places) > 1:
                names = " and ".join(repr(header[place]) for place in places)
                raise ScoreError(f"which of {names} is the column {column.name}?")
        return [places[0] for places in found]

    def _check_row(self, row: list[str], places: Sequence[int], width: int, delimiter: str) -> None:
        if row[0].startswith("#") and (len(row) != width or row[0] == "#" or row[0][1].isspace()):
            raise ScoreError("a comment? They may only stand above the header")
        if len(row) != width:
            names = self.header or [column.name for column in self.columns]
            expected = ", ".join(name if name.isprintable() else repr(name) for name in names)
            raise ScoreError(
                f"{_columns(row)}, expected {width} with {DELIMITERS[delimiter]}s between them: {expected}"
            )
        if row == self.header or row[places[0]].lower() == self.columns[0].name:
            raise ScoreError("a header among the rows; are these two files in one?")


def _columns(row: Sequence[str]) -> str:
    return "1 column" if len(row) == 1 else f"{len(row)} columns"


def _preamble(text: str) -> tuple[list[str], int, int]:
    """Comments (without their ``#``) above the first other line, where that line begins, and how many lines are above it."""
    comments, start, lines = [], 0, 0
    for line in io.StringIO(text, newline=""):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            break
        if stripped:
            comments.append(stripped[1:])
        start += len(line)
        lines += 1
    return comments, start, lines


def _first_record(body: str, delimiter: str) -> list[str] | None:
    try:
        return [cell.strip() for cell in next(_csv(io.StringIO(body, newline=""), delimiter=delimiter), [])] or None
    except csv.Error:
        return None
