"""What the columns of a Parquet file are: of images, of ids, and all others, which are the metadata of their row's image.

A column called ``metadata`` is all of it where there is one: structs, or texts that are JSON objects.
"""

import json
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from ..errors import SourceError, optional_module
from ..strict_json import parse_json
from .entry import shown
from .sidecars import check_size, parse_metadata
from .source import Metadata

METADATA = "metadata"
NO_METADATA = "column that metadata cannot hold"
"""The kind by which such columns are counted among what is ignored."""


def image_column(schema: Any, name: str) -> str:
    """Raises: SourceError unless exactly one column holds images, or is called ``image``."""
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
    if len(found) == 1 and schema.names.count(found[0]) == 1:
        return str(found[0])
    if found.count("image") == schema.names.count("image") == 1:
        return "image"
    which = (
        f"several: {', '.join(found)}; call one of them 'image'" if found else f"none; it has {', '.join(schema.names)}"
    )
    raise SourceError(
        f"{name}: one column of images is needed (bytes, or structs with a field 'bytes'); it has {which}"
    )


def read_ids(file: Any, name: str) -> list[Any] | None:
    """The column ``id`` of an open file, None where there is none; an id that cannot be read is an exception in its place.

    Raises: SourceError for ids of a type that is none.
    """
    types = optional_module("pyarrow", "parquet").types
    if (count := file.schema_arrow.names.count("id")) == 0:
        return None
    if count > 1:
        raise SourceError(f"{name}: {count} columns are called 'id'; or use --id path")
    kind = file.schema_arrow.field("id").type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind)):
        raise SourceError(f"{name}: the column 'id' must be text or whole numbers, not {kind}; or use --id path")
    ids: list[Any] = []
    for group in range(file.num_row_groups):
        try:
            ids += file.read_row_group(group, columns=["id"])["id"].to_pylist()
        except Exception as error:  # of a damaged group; the others may be whole
            ids += [error] * file.metadata.row_group(group).num_rows
    return ids


def metadata_columns(schema: Any, image: str) -> tuple[list[str], int]:
    """The columns of metadata, and how many others there are beside those of images and ids."""
    if schema.names.count(METADATA) == 1:
        return [METADATA], 0
    others = [field for field in schema if field.name not in (image, "id")]
    columns = [field.name for field in others if schema.names.count(field.name) == 1 and _can_be_json(field.type)]
    return columns, len(others) - len(columns)


def metadata_of(columns: list[str], values: list[Any], place: str) -> Metadata | None:
    """The metadata of one row, of the pyarrow scalars of its columns; dates are texts as of ISO 8601, decimals texts.

    place: the row, for messages. Raises: OSError.
    """
    if not columns:
        return None
    found = {
        name: _plain(value, f"the column {name!r} in {place}") for name, value in zip(columns, values, strict=True)
    }
    if columns != [METADATA]:
        check_size(len(json.dumps(found)), f"the metadata in {place}")
        return found
    (value,) = found.values()
    if isinstance(value, str):
        return parse_metadata(value.encode(), f"the column {METADATA!r} in {place}")
    if value is not None and not isinstance(value, dict):
        raise OSError(f"the column {METADATA!r} in {place}: neither text with a JSON object nor a struct")
    return None if value is None else dict(value)


def _plain(value: Any, place: str) -> Any:
    """As JSON says it. Raises: OSError."""
    try:
        return parse_json(json.dumps(value.as_py(), default=_text))
    except (ValueError, TypeError, OverflowError) as error:
        raise OSError(f"{place}: {shown(' '.join(str(error).split()))}") from None


def _text(value: object) -> str:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is nothing that JSON can say")


def _can_be_json(kind: Any) -> bool:
    types = optional_module("pyarrow", "parquet").types
    if types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _can_be_json(kind.value_type)
    if types.is_struct(kind):
        return all(_can_be_json(part.type) for part in kind)
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_null(kind)
        or types.is_decimal(kind)
        or types.is_date(kind)
        or types.is_time(kind)
        or types.is_timestamp(kind)
    )
