"""Search where the references lie in parts that are searched apart: what each part finds becomes the answer of the whole.

Exact, like the search of a whole: a pair among the best of everything is among the best of its part, and a part's ties are
ordered as the whole's, since the ids of a part have the order that they have among all.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from .pairs import Indices, Offsets, Pairs, Ranks
from .views import Found, Searches

Kind = Literal["top", "nearest", "within"]


class Wanted(NamedTuple):
    """Which search, and its k or distance."""

    kind: Kind
    value: int | float


Ask = Callable[[Wanted], Sequence[Pairs]]
"""Asks every part for what is wanted; the answers have the reference numbers of the whole."""


def answer(searched: Searches[Found], wanted: Wanted) -> Found:
    """What one of the searches finds."""
    if wanted.kind == "top":
        return searched.top(int(wanted.value))
    return searched.nearest(int(wanted.value)) if wanted.kind == "nearest" else searched.within(wanted.value)


class PartedSearch:
    """The searches of rows whose references are asked for part by part; a :class:`RowSearches`.

    ranks: of all rows' images. offsets: what the search of every part was given too for "top"; for the others it must have been
    given none, as they choose by the distances themselves.
    """

    def __init__(
        self, ask: Ask, query_ranks: Indices, reference_ranks: Indices, offsets: Offsets | None = None
    ) -> None:
        self.pairs_in_all = len(query_ranks) * len(reference_ranks)
        self._ask = ask
        self._ranks = Ranks(query_ranks, reference_ranks)
        self._offsets = offsets

    def top(self, k: int) -> Pairs:
        found = Pairs.join(self._ask(Wanted("top", k)))
        if len(found) > k:  # all that is as good as the k-th, so that the sort is of few
            found = found[found.distances <= np.partition(found.distances, k - 1)[k - 1]]
        return self._ranks.sorted(found)[:k]

    def nearest(self, k: int) -> Pairs:
        found = Pairs.join(self._ask(Wanted("nearest", k)))
        found = found[np.lexsort((self._ranks.references[found.references], found.distances, found.queries))]
        places = np.arange(len(found)) - np.searchsorted(found.queries, found.queries)
        return self._ranks.sorted(found[places < k].moved(self._offsets))

    def within(self, max_distance: float) -> Pairs:
        found = Pairs.join(self._ask(Wanted("within", max_distance)))
        return self._ranks.sorted(found.moved(self._offsets))
