"""Joins views and references: which references are nearest to the views of queries, and how near each comes at best.

A reference with crops is as near as the nearest of its rows. Whole pictures and crops are searched each for themselves, since
a penalty lies between them: whatever it is, none of the best can be missing in both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .match.views import CROP_LABELS
from .pictures import Picture
from .references import References
from .search import Images, ImageSearch, nearest_pairs

Indices = NDArray[np.int64]


class NearestReferences(Protocol):
    """How ``nearest_references`` is called, and what else may take its place."""

    def __call__(
        self, queries: NDArray[np.float32], references: References, k: int, *, crops: bool = True, threads: int
    ) -> tuple[Indices, Indices]: ...


def nearest_references(
    queries: NDArray[np.float32], references: References, k: int, *, crops: bool = True, threads: int
) -> tuple[Indices, Indices]:
    """Rows of queries float32 [V, D] -> pairs (row, number of a reference), int64 [P] each: to every row the ``k`` references
    whose whole pictures are nearest and, with ``crops``, the ``k`` whose crops are."""
    each, all_of_them = np.arange(len(queries)), np.arange(len(references))
    found = nearest_pairs(
        queries, references.descriptors, k, query_ranks=each, reference_ranks=all_of_them, threads=threads
    )
    if references.crops is None or not crops:
        return found.queries, found.references
    query_images = Images([str(number) for number in each], each, each)
    owners = np.repeat(all_of_them, len(CROP_LABELS))
    crop_images = Images(list(references.ids), owners, all_of_them)
    by_crop = ImageSearch.of(queries, references.crops, query_images, crop_images, threads=threads).nearest(k).pairs
    return np.append(found.queries, by_crop.queries), np.append(found.references, by_crop.references)


@dataclass(frozen=True, eq=False, slots=True)
class Similarities:
    """Of n references: the best -(squared distance) less penalties, float64 [n], and the views that it is owed to, int64 [n]:
    of the query, and of the reference, a place in ``REFERENCE_VIEWS``."""

    values: NDArray[np.float64]
    views: Indices
    reference_views: Indices


def similarities(
    query: Picture, references: References, numbers: Indices, penalties: Mapping[str, float]
) -> Similarities:
    """How near the references of these numbers [n] come to a query. penalties: of each kind of view."""
    rows = references.rows_of(numbers).astype(np.float64)
    off_views = np.array([penalties[view.kind] for view in query.views])
    off_rows = np.array([0.0, *[penalties["crop"]] * (rows.shape[1] - 1)])
    views = query.descriptors.astype(np.float64)
    scores = np.stack([-np.square(view - rows).sum(axis=2) for view in views], axis=1)  # [n, V, R]
    scores -= off_views[:, None] + off_rows
    flat = scores.reshape(len(numbers), -1)
    best = flat.argmax(axis=1)
    view, reference_view = np.divmod(best, rows.shape[1])
    return Similarities(flat[np.arange(len(numbers)), best], view, reference_view)
