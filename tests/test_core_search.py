"""The core's search against brute force in float64, bit for bit, on every instruction set this processor has."""

from collections.abc import Callable

import numpy as np
import pytest

from copytrace.engine import _core

ISAS = _core.instruction_sets()
KINDS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "random": lambda rng, n, d: rng.standard_normal((n, d)),
    "integers": lambda rng, n, d: rng.integers(0, 3, (n, d)),
    "duplicates": lambda rng, n, d: np.random.default_rng(9).standard_normal((3, d))[rng.integers(0, 3, n)],
    "equal": lambda rng, n, d: np.zeros((n, d)),
    "far from zero": lambda rng, n, d: rng.standard_normal((n, d)) * 1e-3 + 100,
    "one long row": lambda rng, n, d: rng.standard_normal((n, d)) * np.where(np.arange(n) == n // 2, 1e6, 1)[:, None],
    "one large value": lambda rng, n, d: rng.standard_normal((n, d)) * np.where(np.arange(d) == d // 2, 300, 1),
    "any length": lambda rng, n, d: rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-44, 16, (n, 1)),
    "tiny": lambda rng, n, d: rng.standard_normal((n, d)) * 1e-40,
}
SHAPES = [(1, 1, 1), (7, 33, 5), (1, 5000, 7), (13, 255, 33), (50, 400, 17), (391, 97, 64), (9, 70, 256), (5, 40, 1283)]


def data(kind: str, n: int, m: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Queries, references, squared distances in float64."""
    rng = np.random.default_rng(n * m + d)
    q, r = KINDS[kind](rng, n, d).astype(np.float32), KINDS[kind](rng, m, d).astype(np.float32)
    return q, r, ((q[:, None].astype(np.float64) - r[None]) ** 2).sum(2)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threads", [1, 3])
def test_nearest_equals_brute_force(isa: str, kind: str, shape: tuple[int, int, int], threads: int) -> None:
    q, r, distances = data(kind, *shape)
    n, m, _ = shape
    ranks, alive = np.random.default_rng(1).permutation(m), np.random.default_rng(2).random(m) < 0.7
    for k in (1, 3, 50, 10**6):
        for mask in (None, alive):
            search = _core.NearestSearch(q, k)
            for start in range(0, m, 2500):
                part = slice(start, start + 2500)
                block, some = _core.References(r[part]), None if mask is None else mask[part]
                search.add(block, start, ranks[part], alive=some, threads=threads, isa=isa)
            queries, rows, found = search.result()
            left = np.arange(m) if mask is None else np.flatnonzero(mask)
            order = left[np.lexsort((np.broadcast_to(ranks[left], (n, len(left))), distances[:, left]))][:, :k]
            expected = np.take_along_axis(distances, order, axis=1)
            assert (queries == np.repeat(np.arange(n), order.shape[1])).all()
            assert (rows == order.ravel()).all() and (found == expected.ravel()).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("misled", ["all", "some"])
def test_a_sample_that_misleads_costs_time_only(isa: str, misled: str) -> None:
    """Near rows stand only where the first look goes, and are fewer than k."""
    rng, k = np.random.default_rng(0), 100
    r = rng.standard_normal((6400, 8)) + 50
    for panel in range(0, 200, 16):
        r[panel * 32 : panel * 32 + 3] -= 50
    q = rng.standard_normal((30, 8)) + (0 if misled == "all" else np.where(np.arange(30) % 2, 50, 0)[:, None])
    q, r = q.astype(np.float32), r.astype(np.float32)
    distances = ((q[:, None].astype(np.float64) - r[None]) ** 2).sum(2)
    search = _core.NearestSearch(q, k)
    search.add(_core.References(r), 0, np.arange(6400), threads=1, isa=isa)
    queries, rows, _ = search.result()
    expected = np.argsort(distances, axis=1, kind="stable")[:, :k]
    assert (queries == np.repeat(np.arange(30), k)).all() and (rows == expected.ravel()).all()


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def nearly_equal(seed: int, above: int) -> tuple[np.ndarray, np.ndarray]:
    """A query and rows nearly equally near, of which the sample's best make about `above` others exceed the guess."""
    rng, count, size = np.random.default_rng(seed), 6400, 16
    centre, steps = unit(rng.standard_normal((1, size))), unit(rng.standard_normal((count, size)))
    squares = 1 + 1e-4 * rng.random(count)
    longest = ((centre + steps * np.sqrt(squares[:, None])) ** 2).sum(1).max()
    rounding = 4 * (size + 8) * (1 + longest) * 2.0**-24
    sample = [panel * 32 + row for panel in range(0, 200, 16) for row in (0, 7)][:17]
    squares[sample] = 1 + 1e-4 * above / count - 2 * rounding
    return centre.astype(np.float32), (centre + steps * np.sqrt(squares[:, None])).astype(np.float32)


@pytest.mark.parametrize("isa", ISAS)
def test_a_guess_amid_rows_that_float32_cannot_tell_apart(isa: str) -> None:
    for seed in range(20):
        query, rows = nearly_equal(seed, 70 + seed)
        search = _core.NearestSearch(query, 100)
        search.add(_core.References(rows), 0, np.arange(len(rows)), threads=1, isa=isa)
        distances = ((query.astype(np.float64) - rows) ** 2).sum(1)
        assert (search.result()[1] == np.argsort(distances, kind="stable")[:100]).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_within_equals_brute_force(isa: str, kind: str, shape: tuple[int, int, int]) -> None:
    q, r, distances = data(kind, *shape)
    alive = np.random.default_rng(2).random(len(r)) < 0.7
    block = _core.References(r)
    for quantile in (0.0, 0.01, 0.5, 1.0):
        limit = float(np.quantile(distances, quantile))
        for mask in (None, alive):
            queries, rows, found = block.within(q, limit, alive=mask, threads=2, isa=isa)
            wanted = (distances <= limit) & (True if mask is None else mask)
            assert set(zip(queries.tolist(), rows.tolist(), strict=True)) == set(
                map(tuple, np.argwhere(wanted).tolist())
            )
            assert (found == distances[queries, rows]).all() and len(queries) == wanted.sum()
    everything = block.within(q, np.inf, threads=2, isa=isa)
    assert everything is not None and len(everything[0]) == distances.size
    assert block.within(q, -1.0, isa=isa)[0].size == 0


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 4])
def test_more_pairs_than_allowed_are_none_at_all(isa: str, threads: int) -> None:
    q, r, distances = data("random", 40, 3000, 8)
    block = _core.References(r)
    for limit in (4.0, np.inf):
        count = int((distances <= limit).sum())
        assert len(block.within(q, limit, most=count, threads=threads, isa=isa)[0]) == count
        assert block.within(q, limit, most=count - 1, threads=threads, isa=isa) is None


def test_arguments_are_checked_with_the_cure() -> None:
    good = np.ones((3, 8), np.float32)
    block, ranks = _core.References(good), np.arange(3)
    cases = [
        (lambda: _core.References(good.astype(np.float64)), "astype"),
        (lambda: _core.References(good[0]), "2 dimension"),
        (lambda: _core.References(good * np.nan), "NaN"),
        (lambda: _core.References(good * np.float32(1e19)), "too large"),
        (lambda: block.within(good[:, :4].copy(), 1.0), "8 columns"),
        (lambda: block.within(good * np.inf, 1.0), "infinite"),
        (lambda: block.within(good, np.nan), "NaN"),
        (lambda: block.within(good, 1.0, most=0), "most"),
        (lambda: block.within(good, 1.0, alive=np.ones(3, np.uint8)), "bool"),
        (lambda: block.within(good, 1.0, alive=np.ones(2, bool)), "3 values"),
        (lambda: block.within(good, 1.0, isa="mmx"), "choose one of"),
        (lambda: _core.NearestSearch(good, 0), "k must be"),
        (lambda: _core.NearestSearch(good[:, :2].copy(), 1).add(block, 0, ranks), "differ in columns"),
        (lambda: _core.NearestSearch(good, 1).add(block, 0, ranks[:2].copy()), "3 values"),
        (lambda: _core.NearestSearch(good, 1).add(block, 0, ranks.astype(np.int32)), "int64"),
        (lambda: _core.NearestSearch(good, 1).add(block, 0, ranks, threads=0), "threads"),
    ]
    for call, word in cases:
        with pytest.raises(ValueError, match=word):
            call()


def test_huge_k_costs_nothing() -> None:
    rows = np.eye(3, dtype=np.float32)
    search = _core.NearestSearch(rows, 2**62)
    search.add(_core.References(rows), 0, np.arange(3))
    assert len(search.result()[0]) == 9


def test_rows_longer_than_the_bytes_can_sum() -> None:
    rows = np.ones((40, 70_000), np.float32)
    rows[np.arange(40), np.arange(40)] = -1.0
    queries, found, distances = _core.References(rows).within(rows, 0.0)
    assert (queries == found).all() and len(found) == 40 and (distances == 0).all()
