"""The exact best pairs over everything, and the nearest of every query, proposed by a card."""

import time

import numpy as np

from copytrace.engine.errors import DeviceError
from copytrace.engine.graphs import Where
from copytrace.engine.search import CardScanner, Pairs, nearest_pairs, top_pairs

from .figure import Figure

WANTED = 1.0  # seconds for 50,000 x 1,000,000 x 256 on an H200


def rows(count: int, columns: int, seed: int) -> np.ndarray:
    """Unit vectors; every hundredth of one seed lies close to one of another."""
    rng = np.random.default_rng(seed)
    made = rng.standard_normal((count, columns), np.float32)
    common = np.random.default_rng(99).standard_normal((max(1, count // 100), columns), np.float32)
    made[: len(common)] = common[: len(common)] + 0.3 * made[: len(common)]
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def same_as_the_core(where: Where, queries: np.ndarray, references: np.ndarray) -> list[Figure]:
    """The gate, at a size that the processor can do. Raises: AssertionError."""
    how = {"query_ranks": np.arange(len(queries)), "reference_ranks": np.arange(len(references))}
    scanner = CardScanner(queries.shape[1], where)
    for search, k in ((top_pairs, len(queries)), (nearest_pairs, 10)):
        found, expected = search(queries, references, k, scanner=scanner, **how), search(queries, references, k, **how)
        for name in ("queries", "references", "distances"):
            assert np.array_equal(getattr(found, name), getattr(expected, name)), f"{search.__name__}: other {name}"
    return []


def top(where: Where, queries: np.ndarray, references: np.ndarray, k: int, rounds: int) -> list[Figure]:
    """Seconds with all rows in memory: the scanner is made once, everything else every time."""
    how = {"query_ranks": np.arange(len(queries)), "reference_ranks": np.arange(len(references))}
    scanner = CardScanner(queries.shape[1], where)
    seconds = []
    for turn in range(rounds + 1):
        start = time.perf_counter()
        found = top_pairs(queries, references, k, scanner=scanner, **how)
        if turn:
            seconds.append(time.perf_counter() - start)
    _nothing_is_missing(found, queries, references, k)
    size = f"{len(queries):,} x {len(references):,} x {queries.shape[1]}"
    is_whole = where == "cuda" and len(queries) * len(references) == 50_000 * 1_000_000
    return [Figure(f"exact top {k:,} of {size}, seconds", seconds, WANTED if is_whole else None, at_most=True)]


def _nothing_is_missing(found: Pairs, queries: np.ndarray, references: np.ndarray, k: int) -> None:
    """By brute force in float64, for some queries. Raises: AssertionError."""
    assert len(found) == min(k, len(queries) * len(references))
    last = found.distances[-1]
    for query in range(0, len(queries), max(1, len(queries) // 20)):
        distances = ((references - queries[query].astype(np.float64)) ** 2).sum(1)
        inside = set(np.flatnonzero(distances < last - 1e-12).tolist())
        mine = set(found.references[found.queries == query].tolist())
        assert inside <= mine, f"query {query}: {len(inside - mine)} pairs are missing"


def nearest(where: Where, queries: np.ndarray, references: np.ndarray, k: int, rounds: int) -> list[Figure]:
    """Ours, exact, beside faiss' flat index on the card, which is float32's answer."""
    how = {"query_ranks": np.arange(len(queries)), "reference_ranks": np.arange(len(references))}
    scanner = CardScanner(queries.shape[1], where)
    size = f"{k} nearest of {len(queries):,} x {len(references):,}"
    figures = [
        Figure(
            f"exact {size}, seconds",
            _times(lambda: nearest_pairs(queries, references, k, scanner=scanner, **how), rounds),
        )
    ]
    if where == "cuda":
        figures.append(
            Figure(
                f"faiss-gpu's flat index, {size}, seconds", _times(lambda: _by_faiss(queries, references, k), rounds)
            )
        )
    return figures


def _by_faiss(queries: np.ndarray, references: np.ndarray, k: int) -> None:
    """Raises: DeviceError where this faiss has no card."""
    import faiss

    if not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        raise DeviceError("this faiss computes on the CPU only")
    index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, faiss.IndexFlatL2(queries.shape[1]))
    index.add(references)
    index.search(queries, k)


def _times(run: object, rounds: int) -> list[float]:
    seconds = []
    for turn in range(rounds + 1):
        start = time.perf_counter()
        run()  # type: ignore[operator]
        if turn:
            seconds.append(time.perf_counter() - start)
    return seconds
