"""Rows joined by pairs within a distance: connected components, without holding the pairs."""

import numpy as np

from .. import _core
from ..errors import SearchError
from ..threads import cpu_count
from .pairs import REFERENCE_ROWS, Float32, Indices, Rows, blocks, load

_MOST_AT_ONCE = 1 << 22  # pairs that one step may find


def connected_rows(rows: Rows, max_distance: float, *, threads: int | None = None) -> Indices:
    """Rows [N, D] -> the smallest row number of each row's component, int64 [N].

    Two rows are joined where their Euclidean (not squared) distance is at most ``max_distance``; a component is what such
    joints connect, so that two of its rows may lie further apart. Each pair is looked at once; of however many there are, no
    more than a few million are held at a time. threads: all processors by default.
    Raises: SearchError on bad values, or a distance below 0 or NaN.
    """
    if not max_distance >= 0.0:
        raise SearchError(f"max_distance must be at least 0, not {max_distance}")
    limit = float(max_distance) * float(max_distance)
    labels = np.arange(rows.shape[0], dtype=np.int64)
    everything = load(rows, 0, rows.shape[0])
    for start, block in blocks(everything, REFERENCE_ROWS):
        _join_block(labels, everything[start:], start, _core.References(block), start, limit, threads or cpu_count())
    return labels


def joined_rows(count: int, first: Indices, second: Indices) -> Indices:
    """The same labels of ``count`` rows, for joints that are given: row ``first[i]`` with row ``second[i]``."""
    labels = np.arange(count, dtype=np.int64)
    _join(labels, first, second)
    return labels


def _join_block(
    labels: Indices, rows: Float32, first: int, block: _core.References, start: int, limit: float, threads: int
) -> None:
    """Halves the rows until no step finds too many pairs."""
    found = block.within(rows, limit, most=max(_MOST_AT_ONCE, len(block)), threads=threads)
    if found is not None:
        _join(labels, found[0] + first, found[1] + start)
        return
    half = len(rows) // 2
    _join_block(labels, rows[:half], first, block, start, limit, threads)
    _join_block(labels, rows[half:], first + half, block, start, limit, threads)


def _join(labels: Indices, a: Indices, b: Indices) -> None:
    """Join a[i] with b[i]: the larger root is hung below the smaller one, then every row is led to its root again."""
    while True:
        x, y = labels[a], labels[b]
        apart = x != y
        if not apart.any():
            return
        a, b, x, y = a[apart], b[apart], x[apart], y[apart]
        np.minimum.at(labels, np.maximum(x, y), np.minimum(x, y))
        while not np.array_equal(labels, roots := labels[labels]):
            labels[:] = roots
