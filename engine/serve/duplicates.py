"""Near-duplicates among the references of a service: each is looked up in the index, as queries are."""

from collections.abc import Callable
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from ..collection import Reference
from .live import LiveReferences

MOST_PAIRS = 100_000
NEAREST = 10
_ROWS = 256  # references looked up at a time; queries are searched in between


def duplicate_pairs(
    references: LiveReferences, max_distance: float, goes_on: Callable[[int], bool]
) -> list[tuple[int, int, float]]:
    """(number, number, distance) of pairs of references no further apart than ``max_distance``, the nearest first.

    Each reference is compared with all, and joined with its ten nearest at most; of all pairs the 100,000 nearest are kept.
    Those that come while this runs may be missing. goes_on: told how many have been looked up; to end early it says False.
    """
    found: dict[tuple[int, int], float] = {}
    after: str | None = None
    done = 0
    while goes_on(done) and (some := references.reader.references(after, _ROWS)):
        after, done = some[-1].id, done + len(some)
        found |= _near(references, some, max_distance)
        if len(found) > 2 * MOST_PAIRS:
            found = dict(_nearest_first(found)[:MOST_PAIRS])
    return [(first, second, distance) for (first, second), distance in _nearest_first(found)[:MOST_PAIRS]]


def _near(references: LiveReferences, some: list[Reference], max_distance: float) -> dict[tuple[int, int], float]:
    """The pairs of some references with others, by their numbers, the smaller one first."""
    there = [(one, row) for one in some if (row := _row(references, one.id)) is not None]
    if not there:
        return {}
    pairs = references.index.nearest(np.stack([row for _, row in there]), NEAREST + 1)
    limit = max_distance * max_distance
    columns = zip(pairs.queries.tolist(), pairs.references, pairs.distances.tolist(), strict=True)
    close = [(there[query][0], name, sqrt(squared)) for query, name, squared in columns if squared <= limit]
    others = {name: one.number for name, one in references.reader.find({name for _, name, _ in close}).items()}
    return {
        (min(one.number, others[name]), max(one.number, others[name])): distance
        for one, name, distance in close
        if name in others and others[name] != one.number
    }


def _row(references: LiveReferences, name: str) -> NDArray[np.float32] | None:
    """None where it has been deleted since."""
    try:
        return np.asarray(references.index.rows([name])[0])
    except KeyError:
        return None


def _nearest_first(found: dict[tuple[int, int], float]) -> list[tuple[tuple[int, int], float]]:
    return sorted(found.items(), key=lambda pair: (pair[1], pair[0]))
