"""An index in Milvus against exact search in memory: ``python -m benchmarks.milvus``.

What filling, opening, searching and changing it cost, and how much of the ten nearest it finds, for several oversamplings. On
Milvus Lite in a temporary folder unless ``--index`` names a server. Rows are random, in clusters, or of
descriptor files (``--like``). Times are of the processor, of this process.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from copytrace.engine import Collection, open_descriptors
from copytrace.engine.milvus import MilvusAddress, RecallSample, StoredRows
from copytrace.engine.milvus_index import bring_up_to_date, index_state, open_index
from copytrace.engine.milvus_search import MilvusSearch
from copytrace.engine.search import Index, IndexPairs

from .harness import machine

K = 10
OVERSAMPLINGS = (1, 4, 10, 30)
PART = 4096
CHANGED = 100


@contextmanager
def processor_seconds() -> Iterator[Callable[[], float]]:
    begun = time.process_time()
    yield lambda: time.process_time() - begun


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def made_rows(kind: str, count: int, dimension: int) -> np.ndarray:
    """Unit rows float32 [count, dimension]: in all directions alike, or about centres, twenty rows each."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((count, dimension))
    if kind == "clusters":
        centres = random.standard_normal((max(2, count // 20), dimension))
        rows = centres[random.integers(len(centres), size=count)] + 0.5 * rows
    return unit(rows)


def rows_like(paths: Sequence[Path], count: int) -> np.ndarray:
    """Some rows, at random, of descriptor files."""
    parts = []
    for path in paths:
        with open_descriptors(path) as file:
            parts.append(np.asarray(file.descriptors[:], np.float32))
    rows = np.concatenate(parts)
    return rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:count])]


def answers(found: IndexPairs) -> set[tuple[int, float]]:
    """Pairs by their distances, so that equal ones count as one another."""
    return set(zip(found.queries.tolist(), found.distances.tolist(), strict=True))


class Measured:
    """One index over rows, and the same rows in memory."""

    def __init__(self, folder: Path, rows: np.ndarray, address: MilvusAddress, threads: int) -> None:
        self.told: dict[str, object] = {"rows": len(rows), "dimension": rows.shape[1]}
        self._rows, self._address, self._threads = rows, address, threads
        self.collection = Collection.create(folder / "refs.ct", rows.shape[1], {"space": "benchmark"})
        self.exact = Index(rows.shape[1], threads=threads)
        for start in range(0, len(rows), PART):
            ids = [f"R{number:08d}" for number in range(start, min(start + PART, len(rows)))]
            self.collection.add(ids, rows[start : start + PART])
            self.exact.add(ids, rows[start : start + PART])

    def run(self) -> dict[str, object]:
        with processor_seconds() as spent:
            stored = open_index(self._address, self.collection)
            state = bring_up_to_date(stored, self.collection, threads=self._threads)
            self.told |= {"filling_s": round(spent(), 1), "recall_at_10_told": state.recall_at_10}
        stored.close()
        with processor_seconds() as spent:
            stored = open_index(self._address, self.collection)
            if index_state(stored, self.collection) is None:
                raise RuntimeError("what was filled and closed is not up to date when it is opened again")
            self.told["opening_s"] = round(spent(), 2)
        self._search(stored)
        self._change(stored)
        stored.close()
        self.collection.close()
        return self.told

    def _search(self, stored: StoredRows) -> None:
        queries = RecallSample(self._rows[:: max(1, len(self._rows) // 500)], seed=1).queries
        with processor_seconds() as spent:
            expected = answers(self.exact.nearest(queries, K))
            self.told["exact_ms_a_query"] = round(1000 * spent() / len(queries), 3)
        by_oversampling = {}
        for times in OVERSAMPLINGS:
            stored.address = replace(self._address, oversampling=times)
            search = MilvusSearch(
                stored, lambda numbers: self.collection.rows_numbered(numbers.tolist()), self._threads
            )
            with processor_seconds() as spent:
                found = answers(search.nearest(queries, K))
                by_oversampling[times] = {
                    "recall_at_10": round(len(found & expected) / len(expected), 4),
                    "ms_a_query": round(1000 * spent() / len(queries), 2),
                }
        stored.address = self._address
        search = MilvusSearch(stored, lambda numbers: self.collection.rows_numbered(numbers.tolist()), self._threads)
        with processor_seconds() as spent:
            for query in queries[:20]:
                search.nearest(query[None], K)
            self.told["alone_ms"] = round(1000 * spent() / 20, 1)
        self.told["by_oversampling"] = by_oversampling

    def _change(self, stored: StoredRows) -> None:
        """Some references come and go, and the index is brought up to date each time, as after changes made without it."""
        with processor_seconds() as spent:
            self.collection.add([f"N{number}" for number in range(CHANGED)], self._rows[:CHANGED])
            bring_up_to_date(stored, self.collection, threads=self._threads)
            self.collection.remove([f"R{number:08d}" for number in range(CHANGED)])
            state = bring_up_to_date(stored, self.collection, threads=self._threads)
            self.told["two_comparisons_s"] = round(spent(), 2)
        search = MilvusSearch(stored, lambda numbers: self.collection.rows_numbered(numbers.tolist()), self._threads)
        found = search.nearest(self._rows[:CHANGED], 1).references
        if state.removed != CHANGED or sorted(found) != sorted(f"N{number}" for number in range(CHANGED)):
            raise RuntimeError("what was removed is found, or what was added is not")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--kind", choices=["clusters", "random"], default="clusters")
    parser.add_argument("--like", type=Path, nargs="+", help="descriptor files with the rows instead")
    parser.add_argument("--index", help="milvus://HOST:PORT/NAME (default: Milvus Lite in a temporary folder)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    kind = options.kind if options.like is None else f"like {', '.join(path.name for path in options.like)}"
    print(f"{machine()}; {options.threads} threads, {kind}", file=sys.stderr)
    if options.like is None:
        rows = made_rows(options.kind, options.rows, options.dimension)
    else:
        rows = rows_like(options.like, options.rows)
    with tempfile.TemporaryDirectory() as folder:
        address = MilvusAddress.parse(options.index or f"milvus://{folder}/x.db")
        told = Measured(Path(folder), rows, address, options.threads).run()
        if address.path is not None:
            files = [path for path in Path(address.path).rglob("*") if path.is_file()]
            told["index_megabytes"] = round(sum(path.stat().st_size for path in files) / 1e6)
    print(json.dumps({"kind": kind, **told}, indent=2))


if __name__ == "__main__":
    main()
