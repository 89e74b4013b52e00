"""Metadata of many references in one file: CSV with a column ``id``, or one JSON object with an ``id`` on each line."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import CollectionError
from ..strict_json import parse_json
from .incoming import check_id, metadata_text

_DELIMITERS = ",\t;"


def read_metadata(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """id -> metadata: the other cells of its line as text, by the names in the header, or the other keys of its object.

    Raises: CollectionError that names the line.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CollectionError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise CollectionError(f"{path}: not a UTF-8 text file") from None
    found: dict[str, dict[str, Any]] = {}
    lines: dict[str, int] = {}
    line = 0
    try:
        rows = _objects(text) if text.lstrip()[:1] in ("{", "[") else _table(text)
        for line, values in rows:
            name = check_id(values.pop("id"))
            if name in found:
                raise CollectionError(f"the id {name!r} is there already, on line {lines[name]}")
            metadata_text(values)
            found[name], lines[name] = values, line
    except (CollectionError, TypeError) as error:
        where = getattr(error, "line", line)
        raise CollectionError(f"{path}: " + (f"line {where}: " if where else "") + str(error)) from None
    return found


class _LineError(CollectionError):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _objects(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = parse_json(line)
        except ValueError as error:
            raise _LineError(number, f"not JSON: {error}") from None
        if not isinstance(values, dict) or "id" not in values:
            raise _LineError(number, 'not a JSON object with an "id"')
        yield number, values


def _table(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    first = text.partition("\n")[0]
    delimiter = next((d for d in _DELIMITERS if "id" in [cell.strip().strip('"') for cell in first.split(d)]), None)
    if delimiter is None:
        raise _LineError(1, "neither a CSV header with a column id nor a JSON object")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        if len(set(header)) < len(header):
            raise _LineError(1, f"two columns have one name: {', '.join(header)}")
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise _LineError(reader.line_num, f"{len(row)} cells, the header has {len(header)}")
            yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise _LineError(reader.line_num, f"not CSV: {error}") from None
