"""Descriptors in memory, searched as a file's are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Sliced(Protocol):
    """An array or a dataset [N, D], read slice by slice."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __getitem__(self, rows: slice, /) -> Any: ...


class Descriptors(Protocol):
    """Rows with their ids, from a file or from memory; ``path`` is what messages call them."""

    @property
    def path(self) -> Any: ...
    @property
    def ids(self) -> list[str]: ...
    @property
    def descriptors(self) -> Sliced: ...
    @property
    def attributes(self) -> Mapping[str, object]: ...
    @property
    def views(self) -> list[str] | None:
        """The label of every row, where an image may have several; None where each has one."""
        ...


@dataclass(frozen=True, slots=True)
class DescriptorArray:
    """Descriptors float32 [N, D] and ids [N] in memory; nothing is known of how they were made."""

    path: str
    ids: list[str]
    descriptors: NDArray[np.float32]
    attributes: Mapping[str, object] = field(default_factory=dict)
    views: list[str] | None = None

    def __enter__(self) -> "DescriptorArray":
        return self

    def __exit__(self, *error: object) -> None: ...


def in_memory(name: str, rows: object, ids: Iterable[object] | None = None) -> DescriptorArray:
    """An array of floats [N, D], and ids of text or whole numbers (default: the row numbers).

    Raises: TypeError, ValueError for what is none, and for another number of ids than of rows.
    """
    if not isinstance(rows, np.ndarray) or rows.dtype.kind != "f":
        what = f"of {rows.dtype}" if isinstance(rows, np.ndarray) else f"not {type(rows).__name__}"
        raise TypeError(f"{name} must be a path, an array of floats [N, D] or a pair (ids, array), {what}")
    if rows.ndim != 2:
        raise ValueError(f"{name} must be an array [N, D], not of shape {rows.shape}")
    if ids is None:
        ids = range(len(rows))
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise TypeError(f"the ids of {name} must be a sequence of texts or whole numbers, not {type(ids).__name__}")
    names = []
    for one in ids:
        if isinstance(one, bool) or not isinstance(one, str | int | np.integer):
            raise TypeError(f"the ids of {name} must be texts or whole numbers, not {type(one).__name__}")
        names.append(str(one))
    if len(names) != len(rows):
        raise ValueError(f"{name} has {len(rows)} rows and {len(names)} ids")
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, which the search refuses
        return DescriptorArray(name, names, np.ascontiguousarray(rows, np.float32))
