"""Search against faiss: k-NN, and global top-K against the challenge evaluator's way to it, ``range_search_max_results``."""

from collections.abc import Iterator

import faiss
import numpy as np
from faiss.contrib.exhaustive_search import range_search_max_results

from copytrace.engine.search import nearest_pairs, top_pairs

from .core import unit
from .harness import Ratio, interleave, ratio

QUERIES, REFERENCES, SIZE, WANTED = 5000, 200_000, 256, 500_000
NEAREST_QUERIES, NEAREST_REFERENCES, NEAREST = 4096, 20_000, 100


def run(threads: int, rounds: int) -> list[Ratio]:
    faiss.omp_set_num_threads(threads)
    return [*nearest(threads, rounds), *top(threads, rounds)]


def nearest(threads: int, rounds: int) -> list[Ratio]:
    rng = np.random.default_rng(0)
    queries = unit(rng.standard_normal((NEAREST_QUERIES, SIZE), dtype=np.float32))
    references = unit(rng.standard_normal((NEAREST_REFERENCES, SIZE), dtype=np.float32))
    ranks = {"query_ranks": np.arange(NEAREST_QUERIES), "reference_ranks": np.arange(NEAREST_REFERENCES)}

    def by_faiss() -> np.ndarray:
        index = faiss.IndexFlatL2(SIZE)
        index.add(references)
        return np.asarray(index.search(queries, NEAREST)[0])

    def ours() -> np.ndarray:
        return nearest_pairs(queries, references, NEAREST, threads=threads, **ranks).distances

    np.testing.assert_allclose(np.sort(by_faiss(), axis=None), ours(), atol=1e-5)
    times = interleave({"faiss": by_faiss, "ours": ours}, rounds)
    name = f"{NEAREST} nearest, {NEAREST_QUERIES} x {NEAREST_REFERENCES} / faiss IndexFlatL2"
    return [ratio(name, times["faiss"], times["ours"], 1.2)]


def top(threads: int, rounds: int) -> list[Ratio]:
    rng = np.random.default_rng(0)
    queries = unit(rng.standard_normal((QUERIES, SIZE), dtype=np.float32))
    references = unit(rng.standard_normal((REFERENCES, SIZE), dtype=np.float32))
    ranks = {"query_ranks": np.arange(QUERIES), "reference_ranks": np.arange(REFERENCES)}

    def ours() -> float:
        return float(top_pairs(queries, references, WANTED, threads=threads, **ranks).distances[-1])

    last = ours()

    def contrib(radius: float) -> tuple[np.ndarray, np.ndarray]:
        index = faiss.IndexFlatL2(SIZE)
        index.add(references)

        def batches() -> Iterator[np.ndarray]:
            for start in range(0, QUERIES, 1000):
                yield queries[start : start + 1000]

        _, _, distances, rows = range_search_max_results(
            index, batches(), radius, max_results=2 * WANTED, min_results=WANTED, ngpu=0
        )
        return distances, rows

    distances = np.sort(contrib(1.05 * last)[0])[:WANTED]
    np.testing.assert_allclose(distances[-1], last, rtol=1e-4)
    contenders = {"ours": ours, "told": lambda: contrib(1.05 * last), "untold": lambda: contrib(1e10)}
    times = interleave(contenders, rounds)
    size = f"top {WANTED} of {QUERIES} x {REFERENCES}"
    return [
        ratio(f"{size} / faiss contrib, told a radius 5 % above the right one", times["told"], times["ours"], 1.0),
        ratio(f"{size} / faiss contrib, started at an infinite radius", times["untold"], times["ours"], 1.0),
    ]
