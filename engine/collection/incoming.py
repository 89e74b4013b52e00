"""What is to be added, made sure to be fit for it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CollectionError
from .records import WHOLE

_NAME = re.compile(r"[\w.:+-]{1,64}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Blob(NamedTuple):
    """Bytes kept of a reference, such as its local features or a thumbnail; what they mean is the writer's business.

    version: of the form that the bytes have, so that whoever reads them knows it.
    """

    version: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Incoming:
    """References ready to be written: rows float32 [N, V, D], C-contiguous, and per reference what goes with them."""

    ids: list[str]
    rows: NDArray[np.float32]
    views: tuple[str, ...]
    sha256: list[str | None]
    sizes: list[int | None]
    metadata: list[str]
    blobs: list[dict[str, Blob]]


def check_incoming(
    dimension: int,
    ids: Sequence[str],
    descriptors: ArrayLike,
    sha256: Sequence[str | None] | None,
    sizes: Sequence[int | None] | None,
    metadata: Sequence[Mapping[str, Any] | None] | None,
    views: Sequence[str],
    blobs: Mapping[str, Sequence[Blob | None]] | None,
) -> Incoming:
    """Raises: CollectionError for values that cannot be kept; ValueError, TypeError for arguments that do not fit together."""
    ids = [check_id(name) for name in ids]
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = next(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise CollectionError(f"the id {twice!r} occurs twice")
    count = len(ids)
    return Incoming(
        ids,
        _check_rows(descriptors, ids, check_views(views), dimension),
        tuple(views),
        [None if value is None else _check_sha256(value) for value in _column("sha256", sha256, count)],
        [None if value is None else _check_size(value) for value in _column("sizes", sizes, count)],
        [metadata_text(value or {}) for value in _column("metadata", metadata, count)],
        _check_blobs(blobs or {}, count),
    )


def check_id(name: object) -> str:
    """Raises: CollectionError for an id that cannot be kept, TypeError for one that is no text."""
    if not isinstance(name, str):
        raise TypeError(f"an id must be text, not {type(name).__name__}")
    if not can_be_id(name):
        raise CollectionError(f"{name!r} cannot be an id: it is empty, has a zero character, or is not valid Unicode")
    return str(name)


def can_be_id(name: str) -> bool:
    return bool(name) and "\0" not in name and _is_unicode(name)


def check_views(views: Sequence[str]) -> int:
    """How many there are. Raises: ValueError unless they are different plain names, one of them "whole"."""
    if isinstance(views, str) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in views):
        raise ValueError(f"views must be a sequence of names of letters, digits and . : + - _, not {views!r}")
    if len(set(views)) < len(views) or WHOLE not in views:
        raise ValueError(f"views must be different, and {WHOLE!r} one of them; they are {', '.join(views)}")
    return len(views)


def metadata_text(metadata: Mapping[str, Any]) -> str:
    """A JSON object as it is stored. Raises: CollectionError for what JSON cannot say."""
    if not isinstance(metadata, Mapping):
        raise CollectionError(f"metadata must be a JSON object, not {type(metadata).__name__}")
    try:
        text = json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise CollectionError(f"metadata that is not JSON: {error}") from None
    if not _is_unicode(text):
        raise CollectionError("metadata with text that is not valid Unicode")
    return text


def own_properties(values: Mapping[str, Any]) -> dict[str, Any]:
    """Raises: ValueError for those that say what a collection is, CollectionError for what is not JSON."""
    fixed = {"dimension", "attributes"} & values.keys()
    if fixed:
        raise ValueError(f"{', '.join(sorted(fixed))} cannot be changed")
    metadata_text(values)
    return dict(values)


def _check_rows(descriptors: ArrayLike, ids: list[str], views: int, dimension: int) -> NDArray[np.float32]:
    array = np.asarray(descriptors)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"descriptors must be numbers, not {array.dtype}")
    shape = (len(ids), views, dimension)
    if views == 1 and array.ndim == 2:
        array = array[:, None]
    if array.shape != shape:
        wanted = f"[{shape[0]}, {dimension}]" if views == 1 else str(list(shape))
        raise CollectionError(f"descriptors must be {wanted} for this collection, not {list(np.shape(descriptors))}")
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(array, "<f4")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=(1, 2)))
    if len(bad):
        raise CollectionError(f"the descriptor of {ids[bad[0]]!r} has values that are not finite in float32")
    return rows


def _column(name: str, values: Sequence[Any] | None, count: int) -> Sequence[Any]:
    if values is None:
        return [None] * count
    if isinstance(values, str | bytes) or len(values) != count:
        raise ValueError(f"{name} must have one value for each of the {count} ids")
    return values


def _check_sha256(value: object) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError(f"a sha256 must be 64 hexadecimal digits in lower case, not {value!r}")
    return value


def _check_size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= int(value) < 1 << 63:
        raise ValueError(f"a size must be a whole number of bytes, not {value!r}")
    return int(value)


def _check_blobs(blobs: Mapping[str, Sequence[Blob | None]], count: int) -> list[dict[str, Blob]]:
    found: list[dict[str, Blob]] = [{} for _ in range(count)]
    for kind in sorted(blobs):
        if not _NAME.fullmatch(kind):
            raise ValueError(f"a kind of blob must be a name of letters, digits and . : + - _, not {kind!r}")
        for mine, blob in zip(found, _column(kind, blobs[kind], count), strict=True):
            if blob is not None:
                version, data = blob
                if not isinstance(version, int) or not isinstance(data, bytes | bytearray | memoryview):
                    raise TypeError(f"{kind} must be given as Blob(version, bytes)")
                mine[kind] = Blob(int(version), bytes(data))
    return found


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
