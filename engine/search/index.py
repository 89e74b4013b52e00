"""References in memory that come and go, searched exactly at any time."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import SearchError
from ..threads import cpu_count
from .blocks import Block
from .id_order import IdOrder, Renumbered
from .nearest import nearest_in_blocks
from .pairs import Float32, Indices, Pairs, Ranks, Rows, check_dimensions, id_ranks, load
from .range import within_in_blocks
from .top import top_in_blocks

BLOCK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class IndexPairs:
    """Pairs found in an index, best first: the query's row number (int64), the reference's id, the squared distance."""

    queries: Indices
    references: list[str]
    distances: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.references)

    @property
    def scores(self) -> NDArray[np.float64]:
        """-(squared distance); higher is more alike."""
        return 0.0 - self.distances


@dataclass(frozen=True, slots=True)
class _Segment:
    """Rows that were added one after the other; never changed, only replaced.

    slots: ascending numbers, one for every row ever added. keys: order of the ids. alive: None while nothing was removed.
    """

    rows: _core.References
    ids: list[str]
    slots: Indices
    keys: Indices
    alive: NDArray[np.bool_] | None = None

    @property
    def live(self) -> int:
        return len(self.ids) if self.alive is None else int(np.count_nonzero(self.alive))

    def without(self, slots: Indices) -> "_Segment":
        """The same with some rows marked as removed."""
        alive = np.ones(len(self.ids), bool) if self.alive is None else self.alive.copy()
        alive[np.searchsorted(self.slots, slots)] = False
        return replace(self, alive=alive)

    def renumbered(self, changed: Renumbered) -> "_Segment":
        """The same with other keys for some of the slots, which may be those of any segment."""
        begin, end = np.searchsorted(changed.slots, [self.slots[0], self.slots[-1] + 1])
        if begin == end:
            return self
        keys = self.keys.copy()
        keys[np.searchsorted(self.slots, changed.slots[begin:end])] = changed.numbers[begin:end]
        return replace(self, keys=keys)


def _merged(parts: Sequence[_Segment]) -> _Segment:
    """One segment with the rows of several that have not been removed."""
    keep = [np.ones(len(part.ids), bool) if part.alive is None else part.alive for part in parts]
    return _Segment(
        _core.References(
            np.concatenate([part.rows.rows(0, len(part.ids))[alive] for part, alive in zip(parts, keep, strict=True)])
        ),
        [part.ids[i] for part, alive in zip(parts, keep, strict=True) for i in np.flatnonzero(alive).tolist()],
        np.concatenate([part.slots[alive] for part, alive in zip(parts, keep, strict=True)]),
        np.concatenate([part.keys[alive] for part, alive in zip(parts, keep, strict=True)]),
    )


class _Snapshot:
    """All references at one moment, as the searches want them. Rows are numbered through all segments."""

    def __init__(self, segments: Sequence[_Segment], dimension: int) -> None:
        self.segments = tuple(segments)
        self.live = sum(segment.live for segment in segments)
        self._starts: list[int] = np.cumsum([0, *(len(segment.ids) for segment in segments)]).tolist()
        self.shape: tuple[int, ...] = (self._starts[-1], dimension)

    @cached_property
    def keys(self) -> Indices:
        return np.concatenate([np.empty(0, np.int64), *(segment.keys for segment in self.segments)])

    def __iter__(self) -> Iterator[Block[_core.References]]:
        for start, segment in zip(self._starts, self.segments, strict=False):
            yield Block(start, segment.rows, segment.alive)

    def __getitem__(self, rows: slice, /) -> Any:
        """Rows start..stop (a sample for the search; removed ones are among them)."""
        start, stop, _ = rows.indices(self.shape[0])
        parts = [np.empty((0, self.shape[1]), np.float32)]
        for first, segment in zip(self._starts, self.segments, strict=False):
            begin, end = max(start - first, 0), min(stop - first, len(segment.ids))
            if begin < end:
                parts.append(segment.rows.rows(begin, end))
        return np.concatenate(parts)

    def id_of(self, row: int) -> str:
        number = bisect_right(self._starts, row) - 1
        return self.segments[number].ids[row - self._starts[number]]


class Index:
    """References under unique ids. Searches are exact: equal to brute force in float64, ties by query id, then reference id.

    Any number of threads may search while one adds or removes: each search sees the references of one moment. Rows lie in
    the native core, 1.3 times the size of their float32 values where it scans bytes, 2 times elsewhere. Removed rows are
    masked, and dropped when they are half of their segment; small segments are merged into larger ones as they come.

    dimension: columns of every row. threads: of one search (default: all processors).
    """

    def __init__(self, dimension: int, *, threads: int | None = None, block_rows: int = BLOCK_ROWS) -> None:
        if dimension < 1:
            raise SearchError("the dimension must be at least 1")
        self._threads = threads or cpu_count()
        self._block_rows = block_rows
        self._changing = Lock()
        self._order = IdOrder()
        self._next_slot = 0
        self._snapshot = _Snapshot((), dimension)

    @property
    def dimension(self) -> int:
        return self._snapshot.shape[1]

    def __len__(self) -> int:
        return self._snapshot.live

    def __contains__(self, name: object) -> bool:
        return name in self._order

    def add(self, ids: Sequence[str], rows: Rows, *, replace: bool = False) -> None:
        """Add rows [N, D] under new ids; all of them or, on an error, none.

        replace: rows under ids that are there take their place; a search finds the old or the new one, never neither.
        Raises: SearchError on an id that is there already or twice, another dimension, and bad values.
        """
        names = list(ids)
        if not all(isinstance(name, str) for name in names):
            raise SearchError("ids must be text")
        check_dimensions(rows, self._snapshot)
        if len(names) != rows.shape[0]:
            raise SearchError(f"{len(names)} ids for {rows.shape[0]} rows")
        id_ranks(names)  # refuses what occurs twice
        values = load(rows, 0, rows.shape[0])
        with self._changing:
            old = self._order.present(names)
            if old and not replace:
                raise SearchError(f"the id {old[0]!r} is in the index already")
            if names:
                self._append(names, values, old)

    def _append(self, names: list[str], values: Float32, old: list[str]) -> None:
        parts = [slice(start, start + self._block_rows) for start in range(0, len(names), self._block_rows)]
        rows = [
            _core.References(values[part]) for part in parts
        ]  # the memory first: nothing has changed if there is none
        segments = self._without(old)
        slots = np.arange(self._next_slot, self._next_slot + len(names))
        changed = self._order.add(names, slots)
        keys = self._order.numbers(names)
        segments = [segment.renumbered(changed) for segment in segments]
        segments += [_Segment(r, names[p], slots[p], keys[p]) for r, p in zip(rows, parts, strict=True)]
        self._next_slot += len(names)
        self._publish(segments)

    def remove(self, ids: Sequence[str]) -> None:
        """Remove references; all of them or, on an error, none. Raises: SearchError on an id that is not there or twice."""
        names = list(ids)
        id_ranks(names)
        with self._changing:
            for name in names:
                if name not in self._order:
                    raise SearchError(f"the id {name!r} is not in the index")
            self._publish(self._without(names))

    def _without(self, names: list[str]) -> list[_Segment]:
        """Forget ids that are there; the segments with their rows marked as removed."""
        if not names:
            return list(self._snapshot.segments)
        gone = np.sort(self._order.remove(names))
        segments = []
        for segment in self._snapshot.segments:
            here = gone[slice(*np.searchsorted(gone, [segment.slots[0], segment.slots[-1] + 1]))]
            segments.append(segment.without(here) if len(here) else segment)
        return segments

    def _publish(self, segments: Sequence[_Segment]) -> None:
        """Make segments the ones that are searched from now on: merged so that every one is larger than the next, or full."""
        settled: list[_Segment] = []
        for segment in segments:
            if not segment.live:
                continue
            parts = [segment]
            while (
                settled and len(settled[-1].ids) < self._block_rows and settled[-1].live <= sum(p.live for p in parts)
            ):
                parts.insert(0, settled.pop())
            worn = any(part.live * 2 <= len(part.ids) for part in parts)
            settled.append(_merged(parts) if len(parts) > 1 or worn else segment)
        self._snapshot = _Snapshot(settled, self.dimension)

    def rows(self, ids: Sequence[str]) -> Float32:
        """The rows of references, float32 [n, D]. Raises: KeyError for an id that is not there."""
        with self._changing:
            slots = self._order.slots(ids)
            snapshot = self._snapshot
        found = np.empty((len(slots), self.dimension), np.float32)
        for segment in snapshot.segments:
            places = np.searchsorted(segment.slots, slots)
            places[places == len(segment.slots)] = 0
            for i in np.flatnonzero(segment.slots[places] == slots).tolist():
                found[i] = segment.rows.rows(int(places[i]), int(places[i]) + 1)
        return found

    def nearest(self, queries: Rows, k: int, *, query_ids: Sequence[str] | None = None) -> IndexPairs:
        """The k references nearest to each query [N, D] (all, if fewer), the pairs of all queries, best first.

        query_ids decide between equal distances; without them the queries' order does.
        Raises: SearchError on bad values, another dimension, k < 1, or a query id that occurs twice.
        """
        snapshot, rows, ranks = self._prepare(queries, query_ids)
        return _named(nearest_in_blocks(rows, snapshot, k, ranks, self._threads), snapshot)

    def within(self, queries: Rows, max_distance: float, *, query_ids: Sequence[str] | None = None) -> IndexPairs:
        """Every pair whose Euclidean (not squared) distance is at most ``max_distance``, best first; see ``nearest``."""
        snapshot, rows, ranks = self._prepare(queries, query_ids)
        return _named(within_in_blocks(rows, snapshot, max_distance, ranks, self._threads), snapshot)

    def top(self, queries: Rows, k: int, *, query_ids: Sequence[str] | None = None) -> IndexPairs:
        """The k pairs of smallest distance over all queries and references, best first; see ``nearest``."""
        snapshot, rows, ranks = self._prepare(queries, query_ids)
        return _named(top_in_blocks(rows, snapshot, k, ranks, self._threads, count=snapshot.live), snapshot)

    def _prepare(self, queries: Rows, query_ids: Sequence[str] | None) -> tuple[_Snapshot, Float32, Ranks]:
        snapshot = self._snapshot
        check_dimensions(queries, snapshot)
        if query_ids is not None and len(query_ids) != queries.shape[0]:
            raise SearchError(f"{len(query_ids)} query ids for {queries.shape[0]} queries")
        ranks = np.arange(queries.shape[0]) if query_ids is None else id_ranks(query_ids)
        return snapshot, load(queries, 0, queries.shape[0]), Ranks(ranks, snapshot.keys)


def _named(pairs: Pairs, snapshot: _Snapshot) -> IndexPairs:
    return IndexPairs(pairs.queries, [snapshot.id_of(row) for row in pairs.references.tolist()], pairs.distances)
