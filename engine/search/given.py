"""Pairs that were proposed elsewhere, decided by their exact distances."""

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .pairs import Indices, Pairs, Ranks, Rows, check_dimensions, load


def pair_distances(
    queries: Rows, references: Rows, of_queries: Indices, of_references: Indices, *, threads: int
) -> NDArray[np.float64]:
    """The squared distances [P] of pairs of rows, given by their numbers; those that the searches find.

    Raises: SearchError on bad values or different dimensions.
    """
    check_dimensions(queries, references)
    first, second = load(queries, 0, queries.shape[0]), load(references, 0, references.shape[0])
    numbers = (np.ascontiguousarray(column, np.int64) for column in (of_queries, of_references))
    return _core.pair_distances(first, second, *numbers, threads=threads)


def nearest_given(pairs: Pairs, k: int, ranks: Ranks) -> Pairs:
    """Of these pairs the ``k`` nearest of each query, best first."""
    ordered = ranks.sorted(pairs)
    return ordered[ordered.places_of_each() < k]
