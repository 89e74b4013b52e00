"""Numbers that order ids as their text does, and stay as they are when others come and go."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np

from .pairs import Indices

_GAP = 1 << 32  # between neighbours that were numbered together: 32 newcomers fit, wherever they go
_MANY = 8  # newcomers are this many times fewer when they are placed one by one


class IdOrder:
    """Ids in order, each with a number (int64) that is larger than those of all ids before it.

    A newcomer takes the middle between its neighbours; where there is no room left, all are numbered anew.
    """

    def __init__(self) -> None:
        self._sorted: list[str] = []
        self._numbers: dict[str, int] = {}

    def add(self, ids: Sequence[str]) -> bool:
        """Number ids that are not there yet. True where the others were numbered anew as well."""
        if len(ids) * _MANY > len(self._sorted):
            self._sorted = sorted([*self._sorted, *ids])
            self._renumber()
            return True
        renumbered = False
        for name in ids:
            renumbered |= self._insert(name)
        return renumbered

    def _insert(self, name: str) -> bool:
        place = bisect_left(self._sorted, name)
        self._sorted.insert(place, name)
        last = len(self._sorted) - 1
        before = self._numbers[self._sorted[place - 1]] if place else None
        after = self._numbers[self._sorted[place + 1]] if place < last else None
        if before is None:
            number = 0 if after is None else after - _GAP
        else:
            number = before + _GAP if after is None else (before + after) // 2
        if number == before or abs(number) >= 1 << 62:
            self._renumber()
            return True
        self._numbers[name] = number
        return False

    def _renumber(self) -> None:
        self._numbers = {name: place * _GAP for place, name in enumerate(self._sorted)}

    def remove(self, ids: Iterable[str]) -> None:
        """Forget ids that are there."""
        gone = set(ids)
        if len(gone) * _MANY > len(self._sorted):
            self._sorted = [name for name in self._sorted if name not in gone]
        else:
            for name in gone:
                del self._sorted[bisect_left(self._sorted, name)]
        for name in gone:
            del self._numbers[name]

    def numbers(self, ids: Sequence[str]) -> Indices:
        """The numbers of ids that are there, int64 [N]."""
        return np.fromiter((self._numbers[name] for name in ids), np.int64, len(ids))
