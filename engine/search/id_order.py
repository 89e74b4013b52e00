"""Numbers that order ids as their text does, and that few ids change when others come and go."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from .pairs import Indices

_GAP = 1 << 32  # between neighbours that were numbered together: 32 newcomers fit, wherever they go
_WIDE = 1 << 20  # between neighbours that are numbered anew, at least
_WINDOW = 64  # ids that are numbered anew at least
_LARGEST = 1 << 62
_FEW = 16  # more ids than this come or go in one pass over all, which is faster by then


class Renumbered(NamedTuple):
    """Ids that have other numbers now, by their slots: slots int64 [n], ascending, and numbers int64 [n]."""

    slots: Indices
    numbers: Indices


class IdOrder:
    """Ids in order, each with a number (int64) that is larger than those of all ids before it, and a slot (int64).

    All of it lies in three rows side by side, 24 bytes an id beside its text; a dictionary would take 70 more. A newcomer takes
    the middle between its neighbours; where there is no room left, those around it are numbered anew.
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._numbers = array("q")
        self._slots = array("q")

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        place = bisect_left(self._ids, name)
        return place < len(self._ids) and self._ids[place] == name

    def present(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that are there."""
        if not ids or not self._ids or min(ids) > self._ids[-1]:
            return []
        return [name for name in ids if name in self]

    def add(self, ids: Sequence[str], slots: Indices) -> Renumbered:
        """Take in ids that are not there yet; the others that have other numbers now."""
        order = sorted(range(len(ids)), key=ids.__getitem__)
        names = [ids[i] for i in order]
        places = self._places(names)
        numbers, crowded = self._between(places)
        _insert(self._slots, places, np.asarray(slots)[order].tolist())
        _insert(self._numbers, places, numbers)
        _insert(self._ids, places, names)
        return self._spread([place + i for i, place in enumerate(places) if place in crowded])

    def remove(self, ids: Sequence[str]) -> Indices:
        """Forget ids that are there; their slots, int64 [N], in no order."""
        places = sorted(self._found(ids))
        slots = np.array([self._slots[place] for place in places], np.int64)
        for values in (self._ids, self._numbers, self._slots):
            _delete(values, places)
        return slots

    def numbers(self, ids: Sequence[str]) -> Indices:
        """The numbers of ids that are there, int64 [N]."""
        return np.fromiter((self._numbers[place] for place in self._found(ids)), np.int64, len(ids))

    def slots(self, ids: Sequence[str]) -> Indices:
        """The slots of ids, int64 [N]. Raises: KeyError for one that is not there."""
        return np.fromiter((self._slots[place] for place in self._found(ids)), np.int64, len(ids))

    def _found(self, ids: Sequence[str]) -> Iterator[int]:
        for name in ids:
            place = bisect_left(self._ids, name)
            if place == len(self._ids) or self._ids[place] != name:
                raise KeyError(name)
            yield place

    def _places(self, names: list[str]) -> list[int]:
        """Before which of the ids newcomers in order belong."""
        if names and self._ids and names[0] < self._ids[-1]:
            return [bisect_left(self._ids, name) for name in names]
        return [len(self._ids)] * len(names)

    def _between(self, places: list[int]) -> tuple[list[int], set[int]]:
        """Numbers for newcomers at these places, and the places where there is no room for all of them."""
        numbers: list[int] = []
        crowded: set[int] = set()
        for place, group in groupby(places):
            count = len(list(group))
            after = self._numbers[place] if place < len(self._ids) else None
            before = self._numbers[place - 1] if place else -_GAP if after is None else after - (count + 1) * _GAP
            after = before + (count + 1) * _GAP if after is None else after
            if after - before <= count or max(-before, after) >= _LARGEST:
                crowded.add(place)
            numbers += [before + (after - before) * (i + 1) // (count + 1) for i in range(count)]
        return numbers, crowded

    def _spread(self, places: list[int]) -> Renumbered:
        """Number the ids around these places anew, as many as it takes for all of them to have room."""
        changed: set[int] = set()
        for place in places:
            if place not in changed:
                changed.update(self._spread_around(place))
        found = sorted((self._slots[place], self._numbers[place]) for place in changed)
        table = np.array(found, np.int64).reshape(-1, 2)
        return Renumbered(table[:, 0], table[:, 1])

    def _spread_around(self, place: int) -> range:
        count, width = len(self._ids), _WINDOW
        while True:
            first, last = max(0, place - width), min(count, place + width)
            inside = last - first
            room = (inside + 1) * _GAP  # where there is nothing beyond the window
            low = self._numbers[first - 1] if first else self._numbers[last] - room if last < count else -_GAP
            high = self._numbers[last] if last < count else low + room
            step = (high - low) // (inside + 1)
            if inside == count or (step >= _WIDE and max(-low, high) < _LARGEST):
                self._numbers[first:last] = array("q", [low + step * (i + 1) for i in range(inside)])
                return range(first, last)
            width *= 2


def _insert(values: Any, places: list[int], new: list[Any]) -> None:
    """Insert into a list or an array, each before a place of what is there; places ascend."""
    if len(places) <= _FEW:
        for i, (place, value) in enumerate(zip(places, new, strict=True)):
            values.insert(place + i, value)
        return
    merged, start = values[:0], 0
    for place, value in zip(places, new, strict=True):
        if place > start:
            merged += values[start:place]
            start = place
        merged.append(value)
    merged += values[start:]
    values[:] = merged


def _delete(values: Any, places: list[int]) -> None:
    """Take out of a list or an array what is at these places, which ascend."""
    if len(places) <= _FEW:
        for place in reversed(places):
            del values[place]
        return
    kept, start = values[:0], 0
    for place in places:
        kept += values[start:place]
        start = place + 1
    kept += values[start:]
    values[:] = kept
