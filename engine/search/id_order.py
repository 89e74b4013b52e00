"""Numbers that order ids as their text does, and that few ids change when others come and go."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .pairs import Indices

_GAP = 1 << 32  # between neighbours that were numbered together: 32 newcomers fit, wherever they go
_WIDE = 1 << 20  # between neighbours that are numbered anew, at least
_LARGEST = 1 << 62
_RUN = 1000  # ids of a run; twice as many are split


class Renumbered(NamedTuple):
    """Ids that have other numbers now, by their slots: slots int64 [n], ascending, and numbers int64 [n]."""

    slots: Indices
    numbers: Indices


@dataclass(slots=True, eq=False)
class _Run:
    """Ids that follow one another, with the number and the slot of each."""

    ids: list[str]
    numbers: "array[int]"
    slots: "array[int]"

    def insert(self, place: int, name: str, number: int, slot: int) -> None:
        self.ids.insert(place, name)
        self.numbers.insert(place, number)
        self.slots.insert(place, slot)

    def delete(self, place: int) -> None:
        del self.ids[place], self.numbers[place], self.slots[place]

    def split(self) -> "_Run":
        """Keep the first half; the other one."""
        rest = _Run(self.ids[_RUN:], self.numbers[_RUN:], self.slots[_RUN:])
        del self.ids[_RUN:], self.numbers[_RUN:], self.slots[_RUN:]
        return rest


class IdOrder:
    """Ids in order, each with a number (int64) that is larger than those of all ids before it, and a slot (int64).

    They lie in runs of some hundred to two thousand, so that one can come or go without the others being moved; 24 bytes an id
    beside its text, where a dictionary would take 70 more. A newcomer takes the middle between its neighbours; where there is
    no room left, those of its run are numbered anew.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._firsts: list[str] = []  # the first id of each run
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def present(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that are there."""
        if not ids or not self._runs or min(ids) > self._runs[-1].ids[-1]:
            return []
        return [name for name in ids if name in self]

    def add(self, ids: Sequence[str], slots: Indices) -> Renumbered:
        """Take in ids that are not there yet; the others that have other numbers now."""
        order = sorted(range(len(ids)), key=ids.__getitem__)
        names, places = [ids[i] for i in order], np.asarray(slots)[order].tolist()
        moved: dict[int, int] = {}
        self._count += len(names)
        if names and (not self._runs or names[0] > self._runs[-1].ids[-1]):
            self._append(names, places, moved)
        else:
            for name, slot in zip(names, places, strict=True):
                self._insert(name, slot, moved)
        table = np.array(sorted(moved.items()), np.int64).reshape(-1, 2)
        return Renumbered(table[:, 0], table[:, 1])

    def remove(self, ids: Sequence[str]) -> Indices:
        """Forget ids that are there; their slots, int64 [N]. Raises: KeyError for one that is not there."""
        found = []
        for name in ids:
            number, place = self._place_of(name)
            run = self._runs[number]
            found.append(run.slots[place])
            run.delete(place)
            self._count -= 1
            if not run.ids:
                del self._runs[number], self._firsts[number]
            elif place == 0:
                self._firsts[number] = run.ids[0]
        return np.array(found, np.int64)

    def numbers(self, ids: Sequence[str]) -> Indices:
        """The numbers of ids, int64 [N]. Raises: KeyError for one that is not there."""
        places = map(self._place_of, ids)
        return np.fromiter((self._runs[number].numbers[place] for number, place in places), np.int64, len(ids))

    def slots(self, ids: Sequence[str]) -> Indices:
        """The slots of ids, int64 [N]. Raises: KeyError for one that is not there."""
        places = map(self._place_of, ids)
        return np.fromiter((self._runs[number].slots[place] for number, place in places), np.int64, len(ids))

    def _find(self, name: str) -> tuple[int, int] | None:
        """The run and the place in it."""
        number = bisect_right(self._firsts, name) - 1
        if number < 0:
            return None
        ids = self._runs[number].ids
        place = bisect_left(ids, name)
        return (number, place) if place < len(ids) and ids[place] == name else None

    def _place_of(self, name: str) -> tuple[int, int]:
        found = self._find(name)
        if found is None:
            raise KeyError(name)
        return found

    def _append(self, names: list[str], slots: list[int], moved: dict[int, int]) -> None:
        """Ids behind all others."""
        if self._runs and self._runs[-1].numbers[-1] + _GAP * (len(names) + 1) >= _LARGEST:
            self._number(0, len(self._runs), -_GAP, _GAP, moved)
        first = self._runs[-1].numbers[-1] + _GAP if self._runs else 0
        for start in range(0, len(names), _RUN):
            part = names[start : start + _RUN]
            numbers = array("q", range(first + _GAP * start, first + _GAP * (start + len(part)), _GAP))
            self._runs.append(_Run(part, numbers, array("q", slots[start : start + _RUN])))
            self._firsts.append(part[0])

    def _insert(self, name: str, slot: int, moved: dict[int, int]) -> None:
        number = max(0, bisect_right(self._firsts, name) - 1)
        run = self._runs[number]
        place = bisect_left(run.ids, name)
        before, after = self._around(number, place)
        run.insert(place, name, (before + after) // 2, slot)
        self._firsts[number] = run.ids[0]
        if after - before < 2 or max(-before, after) >= _LARGEST:
            self._spread(number, moved)
        if len(run.ids) >= 2 * _RUN:
            rest = run.split()
            self._runs.insert(number + 1, rest)
            self._firsts.insert(number + 1, rest.ids[0])

    def _around(self, number: int, place: int) -> tuple[int, int]:
        """The numbers between which a newcomer at a place of a run belongs."""
        run = self._runs[number]
        before = run.numbers[place - 1] if place else self._runs[number - 1].numbers[-1] if number else None
        following = (
            run if place < len(run.numbers) else self._runs[number + 1] if number + 1 < len(self._runs) else None
        )
        after = None if following is None else following.numbers[place if following is run else 0]
        if before is None:
            before = -2 * _GAP if after is None else after - 2 * _GAP
        return before, before + 2 * _GAP if after is None else after

    def _spread(self, number: int, moved: dict[int, int]) -> None:
        """Number the ids of a run anew, with those of as many runs beside it as it takes for all of them to have room."""
        first, last = number, number + 1
        while True:
            inside = sum(len(run.ids) for run in self._runs[first:last])
            room = (inside + 1) * _GAP  # where there is nothing beyond
            after = self._runs[last].numbers[0] if last < len(self._runs) else None
            low = self._runs[first - 1].numbers[-1] if first else -_GAP if after is None else after - room
            high = low + room if after is None else after
            step = (high - low) // (inside + 1)
            is_all = first == 0 and last == len(self._runs)
            if is_all or (step >= _WIDE and max(-low, high) < _LARGEST):
                return self._number(first, last, low, step, moved)
            first, last = max(0, first - 1), min(len(self._runs), last + 1)

    def _number(self, first: int, last: int, low: int, step: int, moved: dict[int, int]) -> None:
        """Give the ids of some runs the numbers behind ``low``, one every step."""
        for run in self._runs[first:last]:
            run.numbers = array("q", range(low + step, low + step * len(run.ids) + 1, step))
            low = run.numbers[-1]
            moved.update(zip(run.slots, run.numbers, strict=True))
