"""Parquet files with a column of images as a source: a row is an image, read with the row group that it is in.

The column holds bytes, or structs with a field ``bytes``, as Hugging Face's ``datasets`` writes them; it is the only one of its
kind, or called ``image``. Ids are the column ``id`` (text or whole numbers), else the file's name and the row's number; other
columns are metadata (see ``parquet_columns``). Images are read in the order of ids: where that is not the order of rows, a
row group is read anew for nearly every image.
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
from .entry import EMPTY, Entry, IdRule, image_id, shown, unreadable
from .formats import SNIFF_BYTES
from .parquet_columns import NO_METADATA, image_column, metadata_columns, metadata_of, read_ids
from .sniff import may_be_image, why_no_image
from .source import Listing, Metadata

_CACHED_BYTES = 1 << 30
_LARGEST_GROUP = 1 << 31
_Group = tuple[int, int, tuple[str, ...]]
"""A row group by the number of its file and its own, and the columns of it."""


@dataclass(frozen=True, slots=True)
class _File:
    """One Parquet file: its name in the source, its columns of images and of metadata, the first row of every row group, and
    its size and time of change."""

    path: Path
    name: str
    column: str
    metadata: list[str]
    starts: list[int]
    state: str


class ParquetReader:
    """Reads rows; of the last row groups what was read is kept, a gibibyte of it. Pickles without these."""

    def __init__(self, files: list[_File], byte_limit: int) -> None:
        self._files = files
        self.byte_limit = byte_limit
        self._lock = Lock()
        self._groups: OrderedDict[_Group, Any] = OrderedDict()
        self._bytes = 0

    def __reduce__(self) -> tuple[type["ParquetReader"], tuple[list[_File], int]]:
        return type(self), (self._files, self.byte_limit)

    def read(self, entry: Entry) -> bytes:
        (value,) = self._row(entry, (self._files[entry.file].column,))
        if value.is_valid and value.type.num_fields:  # a struct
            value = value["bytes"]  # alone: a path beside them may be no text
        data = value.as_py()
        if data is None:
            raise OSError(
                f"{self._where(entry)} holds no image: its bytes are null, and a path beside them is not followed"
            )
        if data and not may_be_image(data[:SNIFF_BYTES]):
            raise OSError(why_no_image(data[:SNIFF_BYTES]))
        if len(data) > self.byte_limit:
            raise OSError(f"{len(data)} bytes exceed the limit of {self.byte_limit} for one image")
        return bytes(data)

    def metadata(self, entry: Entry) -> Metadata | None:
        """By the other columns."""
        columns = self._files[entry.file].metadata
        return metadata_of(columns, self._row(entry, tuple(columns)), self._where(entry)) if columns else None

    def file(self, entry: Entry) -> Path:
        return self._files[entry.file].path

    def state(self, entry: Entry) -> str:
        return f"{entry.offset} {self._files[entry.file].state}"

    def place(self, entry: Entry) -> tuple[str, str]:
        """By the file's size: that of a row is not known."""
        file = self._files[entry.file]
        return shown(file.name), f"{entry.offset} {file.state.partition(' ')[0]}"

    def _where(self, entry: Entry) -> str:
        return f"row {entry.offset} of {shown(self._files[entry.file].path.name)}"

    def _row(self, entry: Entry, columns: tuple[str, ...]) -> list[Any]:
        """What some columns hold in an entry's row, as pyarrow's scalars. Raises: OSError."""
        starts = self._files[entry.file].starts
        group = bisect_right(starts, entry.offset) - 1
        with self._lock:
            table = self._group((entry.file, group, columns))
        return [table[name][entry.offset - starts[group]] for name in columns]

    def _group(self, group: _Group) -> Any:
        """Some columns of a row group. Raises: OSError, also where it could not be read the last time."""
        if group in self._groups:
            self._groups.move_to_end(group)
        else:
            self._groups[group] = table = self._read_group(*group)
            self._bytes += _size(table)
            while len(self._groups) > 1 and self._bytes > _CACHED_BYTES:
                self._bytes -= _size(self._groups.popitem(last=False)[1])
        table = self._groups[group]
        if isinstance(table, str):
            raise OSError(table)
        return table

    def _read_group(self, number: int, group: int, columns: tuple[str, ...]) -> Any:
        tables = optional_module("pyarrow.parquet", "parquet")
        file = self._files[number]
        name = shown(file.path.name)
        try:
            if _state(file.path) != file.state:
                return f"{name} has changed since it was listed"
            with tables.ParquetFile(file.path, page_checksum_verification=True) as opened:
                size = opened.metadata.row_group(group).total_byte_size
                if size > _LARGEST_GROUP:
                    return f"row group {group} of {name} has {size} bytes; write it anew with row groups of 100 rows"
                return opened.read_row_group(group, columns=list(columns)).select(list(columns))
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
            with tables.ParquetFile(path, page_checksum_verification=True) as opened:
                groups = [opened.metadata.row_group(i).num_rows for i in range(opened.metadata.num_row_groups)]
                column = image_column(opened.schema_arrow, shown(name))
                metadata, others = metadata_columns(opened.schema_arrow, column)
                starts = list(accumulate(groups, initial=0))[:-1]
                ids = read_ids(opened, shown(name)) if rule != "path" else None
        except SourceError:
            raise
        except Exception as error:
            listing.damages.append(unreadable(name, len(files), f"not a readable Parquet file: {_line(error)}"))
            files.append(_File(path, name, "", [], [0], state))
            continue
        _add_rows(listing, name, ids, sum(groups), len(files), rule)
        listing.ignored[EMPTY] += not sum(groups)
        files.append(_File(path, name, column, metadata, starts, state))
        listing.ignored[NO_METADATA] += others
    listing.ignored = +listing.ignored  # without those of which there are none
    return listing


def _add_rows(listing: Listing, name: str, ids: list[Any] | None, count: int, number: int, rule: IdRule) -> None:
    width = max(6, len(str(count)))
    stem = PurePosixPath(name).stem
    for row in range(count):
        place = f"{name}/{row:0{width}d}"
        if ids is not None and (ids[row] == "" or not isinstance(ids[row], str | int)):
            what = "has no id" if ids[row] in (None, "") else f"has an id that cannot be read: {_line(ids[row])}"
            problem = f"row {row} of {shown(name)} {what}"
            listing.damages.append(Entry(image_id(place, "path"), place, 0, row, problem=problem, file=number))
            continue
        text = place if rule == "path" else f"{stem}-{row:0{width}d}" if ids is None else str(ids[row])
        listing.entries.append(Entry(image_id(text, "path"), place, 0, row, file=number))


def _state(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _size(table: Any) -> int:
    return 0 if isinstance(table, str) else int(table.nbytes)


def _line(error: Exception) -> str:
    return shown(" ".join(str(error).split())) or type(error).__name__
