"""A million references that are searched while they change: ``python -m benchmarks.live_index``.

Start of the service until it is ready and its memory; one search; then references come and go, a hundred at a time and on the
disk each time, while clients search. Now and then answers are compared with brute force in float64. Random unit rows.
"""

import argparse
import hashlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

import numpy as np

from copytrace.engine import Collection, Engine
from copytrace.engine.serve.live import LiveReferences, Newcomer

from .harness import Ratio, machine
from .served import Served, random_collection, unit_rows

K = 10
PART = 100  # references of one change
CHECKS = 10
CHECKED = 20  # queries of one check


class Client(Thread):
    """Searches until told to stop; ``seconds`` of each search."""

    def __init__(self, live: LiveReferences, queries: np.ndarray, stop: Event) -> None:
        super().__init__()
        self._live, self._queries, self._stop_event = live, queries, stop
        self.seconds: list[float] = []
        self.failures: list[Exception] = []

    def run(self) -> None:
        while not self._stop_event.is_set():
            query = len(self.seconds) % len(self._queries)
            begun = time.perf_counter()
            try:
                (found,) = self._live.nearest(self._queries[query : query + 1], K)
                if len(found) != K:
                    raise RuntimeError(f"{len(found)} answers")
            except Exception as error:
                self.failures.append(error)
            self.seconds.append(time.perf_counter() - begun)


class Mirror:
    """The same references in plain arrays."""

    def __init__(self, live: LiveReferences) -> None:
        descriptors = live.collection.descriptors()
        self._rows: dict[str, np.ndarray] = dict(zip(descriptors.ids, descriptors[:], strict=True))

    def add(self, ids: Sequence[str], rows: np.ndarray) -> None:
        self._rows.update(zip(ids, rows, strict=True))

    def remove(self, ids: Sequence[str]) -> None:
        for name in ids:
            del self._rows[name]

    def __len__(self) -> int:
        return len(self._rows)

    def nearest(self, queries: np.ndarray) -> list[list[str]]:
        """The ids of the K nearest of each query, by float64."""
        ids = np.array(sorted(self._rows))
        best: list[list[tuple[float, str]]] = [[] for _ in queries]
        for start in range(0, len(ids), 50_000):
            part = ids[start : start + 50_000].tolist()
            rows = np.stack([self._rows[name] for name in part]).astype(np.float64)
            distances = (rows**2).sum(1) - 2.0 * queries.astype(np.float64) @ rows.T
            for found, row in zip(best, distances, strict=True):
                near = np.argpartition(row, K)[:K].tolist() if len(part) > K else range(len(part))
                found += [(row[i], part[i]) for i in near]
        return [[name for _, name in sorted(found)[:K]] for found in best]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=100_000, help="references that are added, and that are deleted")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"{machine()}; {options.threads} threads")
    engine = Engine(threads=options.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "refs.ct"
        random_collection(engine, path, options.references)
        ratios = started(path, options.references * engine.dimension * 4, options.threads)
        with Collection.open(path, write=True, auto_compact=False) as collection, Collection.open(path) as reader:
            live = LiveReferences(collection, reader, options.threads)
            live.load()
            ratios.append(searched(live))
            ratios += changed(live, options.changes, options.clients)
    print("\n".join(ratio.line() for ratio in ratios))


def started(path: Path, row_bytes: int, threads: int) -> list[Ratio]:
    with Served(path, "--threads", str(threads)) as served:
        print(f"ready after {served.seconds:.1f} s, {served.processor_seconds():.1f} CPU seconds")
        now, most = served.memory() / row_bytes, served.memory("VmHWM") / row_bytes
        return [
            Ratio("seconds from start to ready", [served.seconds], 30.0, at_most=True),
            Ratio("resident memory / float32 rows", [now], 1.6, at_most=True),
            Ratio("largest resident memory until then / float32 rows", [most], 1.6, at_most=True),
        ]


def searched(live: LiveReferences) -> Ratio:
    rng, seconds, used = np.random.default_rng(1), [], []
    for _ in range(30):
        query = unit_rows(rng, 1, live.index.dimension)
        begun, before = time.perf_counter(), time.process_time()
        live.nearest(query, K)
        seconds.append(1000 * (time.perf_counter() - begun))
        used.append(1000 * (time.process_time() - before))
    print(f"one search: {np.median(used):.1f} CPU ms")
    return Ratio("milliseconds of one search", seconds[5:], 60.0, at_most=True)


def changed(live: LiveReferences, changes: int, clients: int) -> list[Ratio]:
    """Search at rest, and while references come and go."""
    rng = np.random.default_rng(2)
    queries = unit_rows(rng, 64, live.index.dimension)
    mirror = Mirror(live)
    at_rest = during(live, queries, clients, lambda: time.sleep(10))
    wrong = 0

    def change() -> None:
        nonlocal wrong
        doomed = rng.permutation(sorted(live.collection.ids))[:changes].tolist()
        for number in range(changes // PART):
            ids = [f"new{number * PART + i:07d}" for i in range(PART)]
            rows = unit_rows(rng, PART, live.index.dimension)
            digests = [hashlib.sha256(name.encode()).hexdigest() for name in ids]
            new = [Newcomer(n, d, 0, row, None, {}) for n, d, row in zip(ids, digests, rows, strict=True)]
            live.add(new, "benchmark", replace=False)
            mirror.add(ids, rows)
            gone = doomed[number * PART : (number + 1) * PART]
            live.remove(gone, "benchmark")
            mirror.remove(gone)
            if (number + 1) % max(1, changes // PART // CHECKS) == 0:
                live.compact()
                wrong += compared(live, mirror, np.concatenate([queries[: CHECKED // 2], rows[: CHECKED // 2]]))

    begun = time.perf_counter()
    busy = during(live, queries, clients, change)
    print(
        f"{changes} added and {changes} deleted in {time.perf_counter() - begun:.0f} s beside {len(busy)} searches: "
        f"p50 {1000 * np.median(busy):.0f} ms, p99 {1000 * np.percentile(busy, 99):.0f}, longest {1000 * busy.max():.0f}; "
        f"at rest p50 {1000 * np.median(at_rest):.0f}, p99 {1000 * np.percentile(at_rest, 99):.0f}; {wrong} wrong answers"
    )
    p99 = float(np.percentile(busy, 99) / np.percentile(at_rest, 99))
    return [
        Ratio("p99 of searches while references come and go / at rest", [p99], 5.0, at_most=True),
        Ratio("answers that differ from brute force", [float(wrong)], 0.0, at_most=True),
    ]


def during(live: LiveReferences, queries: np.ndarray, clients: int, work: object) -> np.ndarray:
    """Seconds of the searches of some clients while something is done. Raises: whatever a search does."""
    stop = Event()
    threads = [Client(live, np.roll(queries, i, axis=0), stop) for i in range(clients)]
    for thread in threads:
        thread.start()
    try:
        assert callable(work)
        work()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for thread in threads:
        if thread.failures:
            raise thread.failures[0]
    return np.concatenate([thread.seconds for thread in threads])


def compared(live: LiveReferences, mirror: Mirror, queries: np.ndarray) -> int:
    """How many of the queries are answered otherwise than by brute force."""
    assert len(live) == len(mirror)
    found = [[name for name, _ in pairs] for pairs in live.nearest(queries, K)]
    return sum(a != b for a, b in zip(found, mirror.nearest(queries), strict=True))


if __name__ == "__main__":
    main()
