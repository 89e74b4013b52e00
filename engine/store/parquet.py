"""Descriptors as a Parquet table with the columns ``id`` and ``descriptor``; pyarrow writes and reads it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CopytraceError, StoreError, optional_module
from .atomic import replacing
from .content import Content

_KEY = b"copytrace"


def write(path: Path, content: Content) -> tuple[str, ...]:
    """Write a table; everything is kept. Raises: StoreError, MissingExtraError."""
    arrow, tables = optional_module("pyarrow", "parquet"), optional_module("pyarrow.parquet", "parquet")
    count, dimension = content.rows.shape
    values = arrow.array(content.rows.reshape(-1), arrow.float32())
    column = arrow.FixedSizeListArray.from_arrays(values, dimension)
    attributes = {name: _plain(value) for name, value in content.attributes.items()}
    about = {"attributes": attributes, "failed": content.failed, "damaged": content.damaged}
    table = arrow.Table.from_arrays([arrow.array(content.ids, arrow.string()), column], names=["id", "descriptor"])
    table = table.replace_schema_metadata({_KEY: json.dumps(about).encode()})
    assert table.num_rows == count
    with replacing(path) as temporary:
        tables.write_table(table, temporary)
    return ()


def read(path: Path) -> Content:
    """Read a table of any writer with a column ``id`` (text or whole numbers) and one ``descriptor`` (lists of floats).

    Raises: StoreError, MissingExtraError.
    """
    arrow, tables = optional_module("pyarrow", "parquet"), optional_module("pyarrow.parquet", "parquet")
    if not path.is_file():
        raise StoreError(f"{path}: {'is not a regular file' if path.exists() else 'no such file'}")
    try:
        table = tables.ParquetFile(path).read()
        for name in ("id", "descriptor"):
            if table.column_names.count(name) != 1:
                raise StoreError(f"{path}: no column {name!r}; it has {', '.join(table.column_names) or 'none'}")
        ids, lists = (table.column(name).combine_chunks() for name in ("id", "descriptor"))
        if ids.null_count or lists.null_count:
            raise StoreError(f"{path}: rows without an id or a descriptor")
        if not (arrow.types.is_string(ids.type) or arrow.types.is_large_string(ids.type)) and not (
            arrow.types.is_integer(ids.type)
        ):
            raise StoreError(f"{path}: ids must be text or whole numbers, not {ids.type}")
        rows = _rows(path, lists)
        return Content([str(one) for one in ids.to_pylist()], rows, *_about((table.schema.metadata or {}).get(_KEY)))
    except CopytraceError:
        raise
    except MemoryError:
        raise StoreError(f"{path}: damaged, or larger than the memory of this machine") from None
    except Exception as error:  # pyarrow raises whatever it comes across in a damaged file
        raise StoreError(f"{path}: not a readable Parquet file: {' '.join(str(error).split())}") from None


def _rows(path: Path, lists: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    arrow, compute = optional_module("pyarrow", "parquet"), optional_module("pyarrow.compute", "parquet")
    kind = lists.type
    if not hasattr(kind, "value_type") or not arrow.types.is_floating(kind.value_type):
        raise StoreError(f"{path}: descriptors must be lists of floats, not {kind}")
    lengths = set(compute.list_value_length(lists).unique().to_pylist())
    values = lists.flatten()
    if len(lengths) > 1 or values.null_count:
        raise StoreError(f"{path}: descriptors must all have one length, and no empty values")
    dimension = lengths.pop() if lengths else getattr(kind, "list_size", 0)
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused for that
        flat = np.asarray(values.to_numpy(zero_copy_only=False), np.float32)
    return np.ascontiguousarray(flat.reshape(len(lists), dimension))


def _about(text: bytes | None) -> tuple[dict[str, Any], list[tuple[str, str]], list[tuple[str, str]]]:
    """Attributes, failed and damaged, as ``write`` left them; nothing in the files of other writers."""
    if text is None:
        return {}, [], []
    about = json.loads(text)
    attributes = {_text(name): _value(value) for name, value in about["attributes"].items()}
    failed, damaged = ([(_text(name), _text(why)) for name, why in about[kind]] for kind in ("failed", "damaged"))
    return attributes, failed, damaged


def _value(value: object) -> object:
    """An attribute as HDF5 can hold it. Raises: ValueError."""
    if isinstance(value, int | float) and abs(value) < 1 << 63:
        return value
    return [_value(one) for one in value] if isinstance(value, list) else _text(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"its metadata holds {value!r}")
    value.encode()  # lone surrogates, which JSON lets pass, are a UnicodeEncodeError
    return value


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
