"""Parquet files with a column of images as a source: a row is an image, read with the row group that it is in.

The column holds bytes, or structs with a field ``bytes``, as Hugging Face's ``datasets`` writes them; it is the only one of its
kind, or called ``image``. Ids are the column ``id`` (text or whole numbers), else the file's name and the row's number. Images
are read in the order of ids: where that is not the order of rows, a row group is read anew for nearly every image.
"""

from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from ..errors import SourceError, optional_module
from .entry import Entry, IdRule, image_id, shown, unreadable
from .formats import SNIFF_BYTES
from .sniff import may_be_image, why_no_image
from .source import Listing

_CACHED_BYTES = 1 << 30
_LARGEST_GROUP = 1 << 31


@dataclass(frozen=True, slots=True)
class _File:
    """One Parquet file: the column of images, the first row of every row group, and its size and time of change."""

    path: Path
    column: str
    starts: list[int]
    state: str


class ParquetReader:
    """Reads rows; the last row groups are kept, a gibibyte of them. Pickles without these."""

    def __init__(self, files: list[_File], byte_limit: int) -> None:
        self._files = files
        self.byte_limit = byte_limit
        self._lock = Lock()
        self._groups: OrderedDict[tuple[int, int], tuple[Any, int]] = OrderedDict()

    def __reduce__(self) -> tuple[type["ParquetReader"], tuple[list[_File], int]]:
        return type(self), (self._files, self.byte_limit)

    def read(self, entry: Entry) -> bytes:
        file = self._files[entry.file]
        number = bisect_right(file.starts, entry.offset) - 1
        with self._lock:
            values = self._group(entry.file, number)
        value = values[entry.offset - file.starts[number]].as_py()
        data = value["bytes"] if isinstance(value, dict) else value
        if data is None:
            raise OSError("the row holds no image: its bytes are null, and a path beside them is not followed")
        if data and not may_be_image(data[:SNIFF_BYTES]):
            raise OSError(why_no_image(data[:SNIFF_BYTES]))
        if len(data) > self.byte_limit:
            raise OSError(f"{len(data)} bytes exceed the limit of {self.byte_limit} for one image")
        return bytes(data)

    def file(self, entry: Entry) -> Path:
        return self._files[entry.file].path

    def state(self, entry: Entry) -> str:
        return f"{entry.offset} {self._files[entry.file].state}"

    def _group(self, number: int, group: int) -> Any:
        """The images of a row group. Raises: OSError, also where it could not be read the last time."""
        if (number, group) in self._groups:
            self._groups.move_to_end((number, group))
        else:
            values = self._read_group(self._files[number], group)
            self._groups[number, group] = values, 0 if isinstance(values, str) else values.nbytes
            while len(self._groups) > 1 and sum(size for _, size in self._groups.values()) > _CACHED_BYTES:
                self._groups.popitem(last=False)
        values = self._groups[number, group][0]
        if isinstance(values, str):
            raise OSError(values)
        return values

    def _read_group(self, file: _File, group: int) -> Any:
        tables = optional_module("pyarrow.parquet", "parquet")
        name = shown(file.path.name)
        if _state(file.path) != file.state:
            return f"{name} has changed since it was listed"
        try:
            with tables.ParquetFile(file.path) as opened:
                size = opened.metadata.row_group(group).total_byte_size
                if size > _LARGEST_GROUP:
                    return f"row group {group} of {name} has {size} bytes; write it anew with row groups of 100 rows"
                return opened.read_row_group(group, columns=[file.column]).column(0)
        except Exception as error:  # pyarrow raises whatever it comes across in a damaged file
            return f"row group {group} of {name} cannot be read: {_line(error)}"


def list_parquet(root: Path, names: Sequence[str], rule: IdRule, byte_limit: int) -> Listing:
    """The rows of Parquet files, named relative to ``root``; a file that cannot be read is a damage, as is a row without id.

    Raises: SourceError where a file has no column of images, or several; MissingExtraError.
    """
    tables = optional_module("pyarrow.parquet", "parquet")
    files: list[_File] = []
    listing = Listing([], [], Counter(), ParquetReader(files, byte_limit))
    for name in names:
        path, state = root / name, ""
        try:
            state = _state(path)
            with tables.ParquetFile(path) as opened:
                groups = [opened.metadata.row_group(i).num_rows for i in range(opened.metadata.num_row_groups)]
                column = _image_column(opened.schema_arrow, shown(name))
                starts = list(accumulate(groups, initial=0))[:-1]
                ids = _ids(opened, shown(name)) if rule != "path" else None
        except SourceError:
            raise
        except Exception as error:
            listing.damages.append(unreadable(name, len(files), f"not a readable Parquet file: {_line(error)}"))
            files.append(_File(path, "", [0], state))
            continue
        _add_rows(listing, name, ids, sum(groups), len(files), rule)
        files.append(_File(path, column, starts, state))
    return listing


def _add_rows(listing: Listing, name: str, ids: list[Any] | None, count: int, number: int, rule: IdRule) -> None:
    width = max(6, len(str(count)))
    stem = PurePosixPath(name).stem
    for row in range(count):
        place = f"{name}/{row:0{width}d}"
        if ids is not None and ids[row] is None:
            problem = f"row {row} of {shown(name)} has no id"
            listing.damages.append(Entry(image_id(place, "path"), place, 0, row, problem=problem, file=number))
            continue
        text = place if rule == "path" else f"{stem}-{row:0{width}d}" if ids is None else str(ids[row])
        listing.entries.append(Entry(image_id(text, "path"), place, 0, row, file=number))


def _image_column(schema: Any, name: str) -> str:
    """Raises: SourceError."""
    arrow = optional_module("pyarrow", "parquet")

    def is_bytes(kind: Any) -> bool:
        return bool(arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind))

    found = [
        field.name
        for field in schema
        if is_bytes(field.type)
        or (
            arrow.types.is_struct(field.type)
            and any(part.name == "bytes" and is_bytes(part.type) for part in field.type)
        )
    ]
    if len(found) == 1:
        return str(found[0])
    if found.count("image") == 1:
        return "image"
    which = (
        f"several: {', '.join(found)}; call one of them 'image'" if found else f"none; it has {', '.join(schema.names)}"
    )
    raise SourceError(
        f"{name}: one column of images is needed (bytes, or structs with a field 'bytes'); it has {which}"
    )


def _ids(file: Any, name: str) -> list[Any] | None:
    """Raises: SourceError for ids of a type that is none."""
    types = optional_module("pyarrow", "parquet").types
    if file.schema_arrow.names.count("id") != 1:
        return None
    kind = file.schema_arrow.field("id").type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind)):
        raise SourceError(f"{name}: the column 'id' must be text or whole numbers, not {kind}; or use --id path")
    ids: list[Any] = file.read(columns=["id"]).column(0).to_pylist()
    return ids


def _state(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
