"""Search against brute force in float64: random, full of duplicates, whole numbers; any block sizes."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from copytrace.engine import SearchError, save_pairs, search
from copytrace.engine.score import read_pairs
from copytrace.engine.search import id_ranks, nearest_pairs, pairs_within, top_pairs
from copytrace.engine.store import write_descriptors

KINDS = ["random", "integers", "duplicates", "equal", "far from zero", "large integers", "clusters"]
SHAPES = [(1, 1, 3), (7, 33, 5), (50, 400, 17), (33, 255, 64)]


def data(kind: str, n: int, m: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n * m + len(kind))

    def rows(count: int) -> np.ndarray:
        if kind == "random":
            return rng.standard_normal((count, d))
        if kind == "integers":
            return rng.integers(0, 3, (count, d))
        if kind == "duplicates":
            return np.random.default_rng(9).standard_normal((3, d))[rng.integers(0, 3, count)]
        if kind == "equal":
            return np.zeros((count, d))
        if kind == "far from zero":
            return rng.standard_normal((count, d)) * 1e-3 + 100
        if kind == "large integers":
            return rng.integers(-500, 500, (count, d))
        return (
            np.random.default_rng(9).standard_normal((4, d))[rng.integers(0, 4, count)]
            + rng.standard_normal((count, d)) * 1e-4
        )

    return rows(n).astype(np.float32), rows(m).astype(np.float32)


def brute_force(q: np.ndarray, r: np.ndarray, qi: np.ndarray, ri: np.ndarray) -> tuple[np.ndarray, ...]:
    """All pairs, best first, by float64."""
    distances = ((q[:, None].astype(np.float64) - r[None].astype(np.float64)) ** 2).sum(2)
    i, j = np.unravel_index(np.arange(distances.size), distances.shape)
    order = np.lexsort((ri[j], qi[i], distances.ravel()))
    return i[order], j[order], distances.ravel()[order]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_search_equals_brute_force(kind: str, shape: tuple[int, int, int]) -> None:
    n, m, _ = shape
    q, r = data(kind, *shape)
    rng = np.random.default_rng(0)
    ranks = {"query_ranks": rng.permutation(n), "reference_ranks": rng.permutation(m)}
    i, j, distances = brute_force(q, r, ranks["query_ranks"], ranks["reference_ranks"])
    for k in (1, 10, 100, 5000, 10**6):
        for query_rows, reference_rows in ((4096, 4096), (5, 7), (1, 100)):
            pairs = top_pairs(q, r, k, query_rows=query_rows, reference_rows=reference_rows, **ranks)
            assert (pairs.queries == i[:k]).all() and (pairs.references == j[:k]).all() and len(pairs) == min(k, n * m)
            np.testing.assert_allclose(pairs.distances, distances[:k], rtol=1e-12)
    for k in (1, 3, 20, 1000):
        pairs = nearest_pairs(q, r, k, **ranks)
        position = np.zeros(len(i), int)
        for query in range(n):
            position[i == query] = np.arange(m)
        keep = position < k
        assert (pairs.queries == i[keep]).all() and (pairs.references == j[keep]).all()
    limit = float(np.sqrt(np.median(distances)))
    pairs = pairs_within(q, r, limit, **ranks)
    keep = distances <= limit**2
    assert (pairs.queries == i[keep]).all() and (pairs.references == j[keep]).all()


@pytest.mark.parametrize("kind", ["random", "duplicates", "clusters"])
def test_large_enough_to_sample_and_trim(kind: str) -> None:
    q, r = data(kind, 600, 9000, 8)
    ranks = {"query_ranks": np.arange(600), "reference_ranks": np.arange(9000)}
    distances = np.concatenate(
        [((q[a : a + 50, None].astype(np.float64) - r[None]) ** 2).sum(2) for a in range(0, 600, 50)]
    )
    order = np.lexsort((np.tile(np.arange(9000), 600), np.repeat(np.arange(600), 9000), distances.ravel()))
    for k in (5, 20_000):
        pairs = top_pairs(q, r, k, query_rows=128, reference_rows=1000, **ranks)
        assert (pairs.queries * 9000 + pairs.references == order[:k]).all()


def test_a_misleading_sample_costs_a_second_pass_only() -> None:
    rng = np.random.default_rng(0)
    q, r = rng.standard_normal((1024, 4)), rng.standard_normal((8192, 4)) + 50
    r[::128] = q[0]  # the sampled rows begin at multiples of 128: only they look close
    q, r = q.astype(np.float32), r.astype(np.float32)
    pairs = top_pairs(q, r, 200_000, query_ranks=np.arange(1024), reference_ranks=np.arange(8192))
    assert len(pairs) == 200_000 and (np.diff(pairs.distances) >= 0).all()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory in /proc")
def test_no_limit_at_all_stays_bounded_in_memory() -> None:
    """Every pair of the first blocks is among the best so far: only halving the steps keeps them from being held at once."""
    code = """
import numpy as np
from copytrace.engine.search import top_pairs

def peak():  # of this process alone: that of getrusage comes down from the one that started it
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

rng = np.random.default_rng(0)
q, r = rng.standard_normal((4096, 4)), rng.standard_normal((8192, 4)) + 50
r[::128] = q[0]  # what is sampled looks close, and makes the first limit too tight
r += np.linspace(1, 0, 8192)[:, None]  # and every block is better than the one before
q, r = q.astype(np.float32), r.astype(np.float32)
before = peak()
pairs = top_pairs(q, r, 200_000, query_ranks=np.arange(4096), reference_ranks=np.arange(8192), threads=2)
assert len(pairs) == 200_000 and (np.diff(pairs.distances) >= 0).all()
print(peak() - before)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert float(result.stdout) < 320, "megabytes"


def test_pairs_by_id_from_files(tmp_path: Path) -> None:
    for name, ids in (("q", ["b", "a"]), ("r", ["z", "x", 'ü, "y"'])):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["descriptors"], file["ids"] = np.zeros((len(ids), 2), np.float32), ids
    found = search(tmp_path / "q.h5", tmp_path / "r.h5", top=4)
    save_pairs(found, tmp_path / "pairs.csv")
    pairs = read_pairs(tmp_path / "pairs.csv")
    expected = [("a", "x"), ("a", "z"), ("a", 'ü, "y"'), ("b", "x")]
    assert list(zip(pairs.queries, pairs.references, strict=True)) == expected and (pairs.scores == 0).all()
    assert len(search(tmp_path / "q.h5", tmp_path / "r.h5", k=2).pairs) == 4
    assert len(search(tmp_path / "q.h5", tmp_path / "r.h5", max_distance=0.0).pairs) == 6
    assert "-0.0" not in (tmp_path / "pairs.csv").read_text()
    with pytest.raises(ValueError, match="only one"):
        search(tmp_path / "q.h5", tmp_path / "r.h5", k=2, top=2)


def test_bad_descriptors_are_errors(tmp_path: Path) -> None:
    ranks = {"query_ranks": np.arange(2), "reference_ranks": np.arange(2)}
    good = np.ones((2, 3), np.float32)
    for q, r, word in (
        (good, np.ones((2, 4), np.float32), "dimensions differ"),
        (good, np.ones(3, np.float32), "must be"),
        (good * np.nan, good, "NaN"),
        (good, good * np.inf, "infinite"),
        (good * 1e19, good, "too large"),
    ):
        for call in (lambda q, r: top_pairs(q, r, 1, **ranks), lambda q, r: nearest_pairs(q, r, 1, **ranks)):
            with pytest.raises(SearchError, match=word):
                call(q, r)
        with pytest.raises(SearchError, match=word):
            pairs_within(q, r, 1.0, **ranks)
    with pytest.raises(ValueError, match="at least 1"):
        top_pairs(good, good, 0, **ranks)
    with pytest.raises(SearchError, match="at least 1"):
        nearest_pairs(good, good, 0, **ranks)
    with pytest.raises(SearchError, match="'a' occurs twice"):
        id_ranks(["a", "b", "a"])


def test_empty_sides() -> None:
    empty, some = np.empty((0, 3), np.float32), np.ones((2, 3), np.float32)
    for q, r in ((empty, some), (some, empty)):
        ranks = {"query_ranks": np.arange(len(q)), "reference_ranks": np.arange(len(r))}
        assert len(top_pairs(q, r, 5, **ranks)) == len(nearest_pairs(q, r, 5, **ranks)) == 0
        assert len(pairs_within(q, r, 5.0, **ranks)) == 0


def test_files_of_different_bundles_are_not_compared(tmp_path: Path) -> None:
    for name in "qr":
        with h5py.File(tmp_path / name, "w") as file:
            file["descriptors"], file["ids"] = np.zeros((1, 2), np.float32), ["a"]
            file.attrs["bundle"] = name * 64
    with pytest.raises(SearchError, match="different bundles"):
        search(tmp_path / "q", tmp_path / "r")


def test_arrays_are_searched_as_files_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    a, b = (rng.normal(size=(n, 16)).astype(np.float32) for n in (30, 50))
    names, others = [f"q{i:02}" for i in range(30)], [f"r{i:02}" for i in range(50)]
    for path, ids, rows in (("q.h5", names, a), ("r.h5", others, b)):
        write_descriptors(tmp_path / path, [(ids, rows)], rows.shape, [], {})
    for options in ({"k": 3}, {"top": 40}, {"max_distance": 5.0}):
        from_files = list(search(tmp_path / "q.h5", tmp_path / "r.h5", **options))
        assert list(search((names, a), (np.array(others), b.astype(np.float64)), **options)) == from_files
        assert list(search(tmp_path / "q.h5", (others, b), **options)) == from_files
        plain = search(a, b, **options)
        assert [(f"q{int(q):02}", f"r{int(r):02}", score) for q, r, score in plain] == from_files


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (np.ones((3, 4), np.int64), TypeError),
        (np.ones(4, np.float32), ValueError),
        ([[1.0, 2.0]], TypeError),
        ((["a"], np.ones((2, 4), np.float32)), ValueError),
        (("ab", np.ones((2, 4), np.float32)), TypeError),
        (([1.5, 2.5], np.ones((2, 4), np.float32)), TypeError),
        ((["a", "a"], np.ones((2, 4), np.float32)), SearchError),
        (np.full((2, 4), np.nan, np.float32), SearchError),
        (np.full((2, 4), 1e300), SearchError),
        (np.ones((2, 5), np.float32), SearchError),
        (None, TypeError),
    ],
)
def test_what_is_no_array_of_descriptors_is_refused(given: object, error: type[Exception]) -> None:
    for pair in ((given, np.ones((3, 4), np.float32)), (np.ones((3, 4), np.float32), given)):
        with pytest.raises(error):
            search(*pair)  # type: ignore[arg-type]
