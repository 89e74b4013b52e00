"""The index against a plain list of its references, searched by brute force in float64."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from copytrace.engine import SearchError
from copytrace.engine.search import Index, IndexPairs
from copytrace.engine.search.id_order import IdOrder

DIMENSION = 3
IDS = st.text(alphabet="abcz é", max_size=4)
ROWS = st.lists(st.integers(-2, 2), min_size=DIMENSION, max_size=DIMENSION)  # few values: full of duplicates and ties

Expected = list[tuple[float, int, str]]


def brute_force(references: dict[str, np.ndarray], queries: np.ndarray, order: Sequence[int]) -> Expected:
    """(squared distance, row of the query, reference id) of all pairs, best first."""
    pairs = [
        (float(((query.astype(np.float64) - row) ** 2).sum()), order[i], name, i)
        for i, query in enumerate(queries)
        for name, row in references.items()
    ]
    return [(distance, i, name) for distance, _, name, i in sorted(pairs)]


def found(pairs: IndexPairs) -> Expected:
    return list(zip(pairs.distances.tolist(), pairs.queries.tolist(), pairs.references, strict=True))


def check(index: Index, references: dict[str, np.ndarray], queries: np.ndarray, ids: list[str] | None, k: int) -> None:
    order = list(range(len(queries))) if ids is None else [sorted(ids).index(name) for name in ids]
    expected = brute_force(references, queries, order)
    assert found(index.top(queries, k, query_ids=ids)) == expected[:k]
    nearest = [pair for n, pair in enumerate(expected) if sum(p[1] == pair[1] for p in expected[:n]) < k]
    assert found(index.nearest(queries, k, query_ids=ids)) == nearest
    for limit in {0.0, *(distance for distance, _, _ in expected[:: max(len(expected) // 3, 1)])}:
        within = [pair for pair in expected if pair[0] <= float(np.sqrt(limit)) ** 2]
        assert found(index.within(queries, float(np.sqrt(limit)), query_ids=ids)) == within


class AnyHistory(RuleBasedStateMachine):
    """Adding and removing in any order, with segments so small that they are merged and compacted all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.index = Index(DIMENSION, threads=2, block_rows=4)
        self.references: dict[str, np.ndarray] = {}

    @rule(added=st.dictionaries(IDS, ROWS, max_size=9))
    def add(self, added: dict[str, list[int]]) -> None:
        rows = np.array(list(added.values()), np.float32).reshape(len(added), DIMENSION)
        if added.keys() & self.references.keys():
            with pytest.raises(SearchError, match="in the index already"):
                self.index.add(list(added), rows)
        else:
            self.index.add(list(added), rows)
            self.references.update(zip(added, rows, strict=True))

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        names = data.draw(st.lists(st.sampled_from([*sorted(self.references), "missing"]), unique=True, max_size=6))
        if "missing" in names:
            with pytest.raises(SearchError, match="'missing' is not in the index"):
                self.index.remove(names)
        else:
            self.index.remove(names)
            for name in names:
                del self.references[name]

    @rule(rows=st.lists(ROWS, max_size=4), k=st.integers(1, 12), named=st.booleans(), data=st.data())
    def search(self, rows: list[list[int]], k: int, named: bool, data: st.DataObject) -> None:
        queries = np.array(rows, np.float32).reshape(len(rows), DIMENSION)
        ids = data.draw(st.permutations([f"q{i}" for i in range(len(rows))])) if named else None
        check(self.index, self.references, queries, ids, k)

    @invariant()
    def holds_what_was_added(self) -> None:
        assert len(self.index) == len(self.references)
        assert all(name in self.index for name in self.references) and "missing" not in self.index


AnyHistory.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyHistory = AnyHistory.TestCase


def test_thousands_of_rows_one_by_one_and_at_once() -> None:
    rng = np.random.default_rng(0)
    index, references = Index(17, block_rows=512), {}
    for step in range(120):
        count = int(rng.choice([1, 1, 2, 40]))
        names = [f"{rng.integers(1e9):x}-{step}-{i}" for i in range(count)]
        rows = rng.standard_normal((count, 17)).astype(np.float32)
        rows[rng.random(count) < 0.3] = rng.integers(-1, 2, 17)
        index.add(names, rows)
        references.update(zip(names, rows, strict=True))
        if step % 3 == 2:
            gone = rng.choice(sorted(references), len(references) // 4, replace=False).tolist()
            index.remove(gone)
            references = {name: row for name, row in references.items() if name not in gone}
    queries = rng.standard_normal((3, 17)).astype(np.float32)
    for k in (1, 7, 2000):
        check(index, references, queries, None, k)
    index.remove(list(references))
    assert len(index) == 0 and len(index.nearest(queries, 3)) == len(index.top(queries, 3)) == 0


def test_an_error_changes_nothing() -> None:
    index, rows = Index(2), np.eye(2, dtype=np.float32)
    index.add(["a", "b"], rows)
    bad = [
        (lambda: index.add(["c", "a"], rows), "'a' is in the index already"),
        (lambda: index.add(["c", "c"], rows), "'c' occurs twice"),
        (lambda: index.add(["c"], rows), "1 ids for 2 rows"),
        (lambda: index.add(["c", "d"], np.ones((2, 3), np.float32)), "dimensions differ"),
        (lambda: index.add(["c", "d"], rows * np.nan), "NaN"),
        (lambda: index.add(["c", "d"], rows * 1e30), "too large"),
        (lambda: index.add(["c", 5], rows), "text"),  # type: ignore[list-item]
        (lambda: index.remove(["a", "x"]), "'x' is not in the index"),
        (lambda: index.remove(["a", "a"]), "'a' occurs twice"),
        (lambda: index.nearest(rows, 0), "k must be"),
        (lambda: index.top(rows, 0), "k must be"),
        (lambda: index.within(rows, -1.0), "at least 0"),
        (lambda: index.within(rows, np.nan), "at least 0"),
        (lambda: index.nearest(rows[0], 1), r"must be \[N, D\]"),
        (lambda: index.nearest(np.ones((1, 3), np.float32), 1), "dimensions differ"),
        (lambda: index.nearest(rows, 1, query_ids=["q"]), "1 query ids for 2 queries"),
        (lambda: index.nearest(rows, 1, query_ids=["q", "q"]), "'q' occurs twice"),
        (lambda: Index(0), "dimension"),
    ]
    for call, word in bad:
        with pytest.raises(SearchError, match=word):
            call()
    assert len(index) == 2 and found(index.nearest(rows, 1)) == [(0.0, 0, "a"), (0.0, 1, "b")]
    rows[:] = 9  # the index has rows of its own
    assert index.nearest(np.eye(2, dtype=np.float32), 1).distances.tolist() == [0.0, 0.0]


def test_readers_see_one_moment_while_a_writer_works() -> None:
    """Generation after generation replaces all references: a search never sees parts of two, or a hole."""
    index, size, done = Index(8, threads=1, block_rows=64), 150, threading.Event()
    directions = np.random.default_rng(0).standard_normal((size, 8)).astype(np.float32)
    failures: list[str] = []

    def generation(number: int) -> list[str]:
        return [f"{number:04d}-{i:03d}" for i in range(size)]

    def read() -> None:
        while not done.is_set():
            pairs = index.nearest(directions[:2], 10 * size)
            numbers = [int(name[:4]) for name in pairs.references[: len(pairs)]]
            if len(pairs) not in (2 * size, 4 * size) or len(set(numbers)) > 2 or max(numbers) - min(numbers) > 1:
                failures.append(f"{len(pairs)} pairs of {sorted(set(numbers))}")

    index.add(generation(0), directions)
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 60):
        index.add(generation(number), directions)
        index.remove(generation(number - 1))
    done.set()
    for reader in readers:
        reader.join()
    assert not failures and sorted(set(index.nearest(directions, size).references)) == generation(59)


@pytest.mark.parametrize("ids", ["ascending", "descending", "between two", "random"])
@pytest.mark.parametrize("size", [1, 7, 400])
def test_numbers_of_ids_keep_their_order(ids: str, size: int) -> None:
    """Whatever comes, and in whatever company: numbers ascend with the ids, and who has another one is told."""
    rng, order = np.random.default_rng(0), IdOrder()
    names = {
        "ascending": [f"{i:05d}" for i in range(3000)],
        "descending": [f"{-i:06d}" for i in range(-3000, 0)],
        "between two": [f"a{i:05d}" for i in range(3000)],
        "random": [f"{x:x}" for x in rng.permutation(10**6)[:3000]],
    }[ids]
    numbers: dict[int, int] = {}
    by_slot: list[str] = []

    def add(new: list[str]) -> None:
        slots = np.arange(len(by_slot), len(by_slot) + len(new))
        by_slot.extend(new)
        changed = order.add(new, slots)
        numbers.update(zip(slots.tolist(), order.numbers(new).tolist(), strict=True))
        numbers.update(zip(changed.slots.tolist(), changed.numbers.tolist(), strict=True))
        assert (np.diff(changed.slots) > 0).all()

    add(["Z", "b", *(f"{i}-" for i in range(300))])
    for start in range(0, len(names), size):
        add(names[start : start + size])
    gone = names[::3]
    slots = {name: slot for slot, name in enumerate(by_slot)}
    assert sorted(order.remove(gone).tolist()) == sorted(slots[name] for name in gone)
    kept = sorted(set(by_slot) - set(gone))
    assert len(order) == len(kept) and (np.diff(order.numbers(kept)) > 0).all()
    assert order.numbers(kept).tolist() == [numbers[slots[name]] for name in kept]
    assert order.slots(kept).tolist() == [slots[name] for name in kept]
    assert order.present([*gone[:5], "Z", "nobody"]) == ["Z"] and gone[0] not in order and 5 not in order
    with pytest.raises(KeyError):
        order.slots([gone[0]])


def test_ids_that_all_come_between_two_do_not_change_the_numbers_of_all() -> None:
    """Ascending ids before one that stays the last: every few of them, only those around have to move."""
    order, moved = IdOrder(), 0
    order.add(["z", *(f"a{i:05d}" for i in range(5000))], np.arange(5001))
    for i in range(2000):
        moved += len(order.add([f"b{i:05d}"], np.array([5001 + i])).slots)
    assert 0 < moved < 2000 * 100


def test_replaced_rows_are_found_and_never_missing() -> None:
    """A search beside a replacement finds the old row or the new one."""
    rng = np.random.default_rng(3)
    index = Index(4, block_rows=16, threads=1)
    rows = rng.normal(size=(40, 4)).astype(np.float32)
    ids = [f"r{i}" for i in range(40)]
    index.add(ids, rows)
    missing: list[int] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            if len(index.nearest(rows[:1], 100)) != 40:
                missing.append(1)

    reader = threading.Thread(target=search)
    reader.start()
    for turn in range(200):
        rows[turn % 40] = rng.normal(size=4)
        index.add([f"r{turn % 40}"], rows[turn % 40][None], replace=True)
    stop.set()
    reader.join()
    assert not missing and len(index) == 40
    found = index.nearest(rows, 1)
    assert sorted(found.references) == sorted(ids) and not found.distances.any()
    with pytest.raises(SearchError, match="already"):
        index.add(["r1"], rows[:1])
    index.add(["r1", "new"], rows[2:4], replace=True)
    assert len(index) == 41
