"""Search where an image has several rows: a pair of images is as far apart as the nearest two of their rows.

Exact, like the search of rows: what is found among rows is reduced to pairs of images, and rows are searched for deep enough
that no pair of images can be missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from ..errors import SearchError
from .blocks import Scanner
from .nearest import nearest_pairs
from .pairs import Indices, Offsets, Pairs, Rows, id_ranks
from .range import pairs_within
from .top import top_pairs

Found = TypeVar("Found", covariant=True)


@dataclass(frozen=True, eq=False, slots=True)
class Images:
    """Which image each of N rows is of: ``ids`` [M] of the images in the order of their first rows, ``of_row`` int64 [N]."""

    ids: list[str]
    of_row: Indices
    ranks: Indices
    """Of the images, as from ``id_ranks``."""

    @classmethod
    def of(cls, ids: Sequence[str], labels: Sequence[str] | None) -> "Images":
        """Rows with their ids and labels; without labels, each is an image of its own.

        Raises: SearchError when an id, or an id with a label, occurs twice.
        """
        if labels is None:
            return cls(list(ids), np.arange(len(ids)), id_ranks(ids))
        seen: set[tuple[str, str]] = set()
        for row in zip(ids, labels, strict=True):
            if row in seen:
                raise SearchError(f"the view {row[1]!r} of the id {row[0]!r} occurs twice")
            seen.add(row)
        numbers = {name: number for number, name in enumerate(dict.fromkeys(ids))}
        of_row = np.fromiter((numbers[name] for name in ids), np.int64, len(ids))
        return cls(list(numbers), of_row, id_ranks(list(numbers)))

    @property
    def most_rows(self) -> int:
        """Of one image."""
        return int(np.bincount(self.of_row).max(initial=1))

    @property
    def row_ranks(self) -> Indices:
        """The rank of every row's image, int64 [N]."""
        return self.ranks[self.of_row]


@dataclass(frozen=True, eq=False, slots=True)
class ImagePairs:
    """Pairs by the numbers of images, best first, and the two rows that each owes its distance to, int64 [P]."""

    pairs: Pairs
    query_rows: Indices
    reference_rows: Indices

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, which: Any) -> "ImagePairs":
        return ImagePairs(self.pairs[which], self.query_rows[which], self.reference_rows[which])


class Searches(Protocol[Found]):
    """The three searches."""

    def nearest(self, k: int) -> Found: ...
    def within(self, max_distance: float) -> Found: ...
    def top(self, k: int) -> Found: ...


class RowSearch:
    """The searches of rows, queries [N, D] and references [M, D], whose images have these ranks.

    scanner: who proposes pairs (default: the native core).
    """

    def __init__(
        self,
        queries: Rows,
        references: Rows,
        query_ranks: Indices,
        reference_ranks: Indices,
        offsets: Offsets | None = None,
        threads: int | None = None,
        scanner: Scanner | None = None,
    ) -> None:
        self.pairs_in_all = queries.shape[0] * references.shape[0]
        self._rows = (queries, references)
        self._how: dict[str, Any] = {
            "query_ranks": query_ranks,
            "reference_ranks": reference_ranks,
            "offsets": offsets,
            "threads": threads,
            "scanner": scanner,
        }

    def nearest(self, k: int) -> Pairs:
        return nearest_pairs(*self._rows, k, **self._how)

    def within(self, max_distance: float) -> Pairs:
        return pairs_within(*self._rows, max_distance, **self._how)

    def top(self, k: int) -> Pairs:
        return top_pairs(*self._rows, k, **self._how)


class RowSearches(Searches[Pairs], Protocol):
    """The three searches of rows, wherever these lie."""

    @property
    def pairs_in_all(self) -> int: ...


class ImageSearch:
    """The searches of images with several rows each, by those of their rows, whose ranks are those of their images."""

    def __init__(self, rows: RowSearches, query_images: Images, reference_images: Images) -> None:
        self._rows = rows
        self._images = (query_images, reference_images)

    @classmethod
    def of(
        cls,
        queries: Rows,
        references: Rows,
        query_images: Images,
        reference_images: Images,
        offsets: Offsets | None = None,
        threads: int | None = None,
        scanner: Scanner | None = None,
    ) -> "ImageSearch":
        """Of rows as :class:`RowSearch` takes them."""
        ranks = (query_images.row_ranks, reference_images.row_ranks)
        rows = RowSearch(queries, references, *ranks, offsets, threads, scanner)
        return cls(rows, query_images, reference_images)

    def nearest(self, k: int) -> ImagePairs:
        """The k images nearest to each image; they are among the nearest rows of its rows, k times as many as an image has."""
        found = self._reduced(self._rows.nearest(k * self._images[1].most_rows))
        return found[found.pairs.places_of_each() < k]

    def within(self, max_distance: float) -> ImagePairs:
        """Every pair of images with two rows whose distance is at most ``max_distance``."""
        return self._reduced(self._rows.within(max_distance))

    def top(self, k: int) -> ImagePairs:
        """The k best pairs of images.

        Rows are searched ever deeper, until they have one pair more than that, which tells that nothing as good as the k-th
        is left to be found, or until there are none.
        """
        everything = self._rows.pairs_in_all
        depth = min(2 * k + 1, everything)
        while True:
            found = self._reduced(self._rows.top(max(depth, 1)))
            if len(found) > k or depth == everything:
                return found[:k]
            depth = min(4 * depth, everything)

    def _reduced(self, rows: Pairs) -> ImagePairs:
        """Pairs of rows -> the best of every pair of images, in their order; of equals that of the first rows."""
        queries, references = (
            images.of_row[numbers]
            for images, numbers in zip(self._images, (rows.queries, rows.references), strict=True)
        )
        pairs = Pairs(queries, references, rows.distances)
        ranks = [images.ranks for images in self._images]
        order = np.lexsort((rows.references, rows.queries, ranks[1][references], ranks[0][queries], rows.distances))
        keys = (queries * len(self._images[1].ids) + references)[order]
        best = order[np.sort(np.unique(keys, return_index=True)[1])]
        return ImagePairs(pairs[best], rows.queries[best], rows.references[best])
