"""A million references that are searched while they change: ``python -m benchmarks.live_index``.

Start of the service until it is ready and its memory; one search; then references come and go, a hundred at a time and on the
disk each time, while clients search. Ten times they pause, and answers are compared with brute force in float64. Random unit
rows.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread

import numpy as np

from copytrace.engine import Collection, Engine
from copytrace.engine.serve.live import LiveReferences, Newcomer
from copytrace.engine.serve.server import SWITCH_SECONDS

from .harness import Ratio, machine
from .served import Served, random_collection, unit_rows

K = 10
PART = 100  # references of one change
CHECKS = 10
CHECKED = 20  # queries of one check
ROWS = 50_000  # read and compared at a time
REST_SECONDS = 20.0


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
    """The same references in plain arrays. room: for so many further ones."""

    def __init__(self, live: LiveReferences, room: int) -> None:
        descriptors = live.collection.descriptors()
        self.ids = list(descriptors.ids)
        self._rows = np.empty((len(self.ids) + room, live.index.dimension), np.float32)
        for start in range(0, len(self.ids), ROWS):
            self._rows[start : min(start + ROWS, len(self.ids))] = descriptors[start : start + ROWS]
        self._there = np.zeros(len(self._rows), bool)
        self._there[: len(self.ids)] = True

    def add(self, ids: Sequence[str], rows: np.ndarray) -> None:
        place = len(self.ids)
        self.ids += ids
        self._rows[place : place + len(ids)] = rows
        self._there[place : place + len(ids)] = True

    def remove(self, places: np.ndarray) -> None:
        self._there[places] = False

    def last(self, count: int) -> np.ndarray:
        """The rows that came last."""
        return self._rows[len(self.ids) - count : len(self.ids)]

    def __len__(self) -> int:
        return int(np.count_nonzero(self._there))

    def nearest(self, queries: np.ndarray) -> list[list[str]]:
        """The ids of the K nearest of each query, by float64."""
        best: list[list[tuple[float, str]]] = [[] for _ in queries]
        for start in range(0, len(self.ids), ROWS):
            there = start + np.flatnonzero(self._there[start : start + ROWS])
            rows = self._rows[there].astype(np.float64)
            distances = (rows**2).sum(1) - 2.0 * queries.astype(np.float64) @ rows.T
            for found, row in zip(best, distances, strict=True):
                near = np.argpartition(row, K)[:K].tolist() if len(row) > K else range(len(row))
                found += [(row[i], self.ids[there[i]]) for i in near]
        return [[name for _, name in sorted(found)[:K]] for found in best]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=100_000, help="references that are added, and that are deleted")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.changes % PART or not 0 < options.changes <= options.references:
        parser.error(f"--changes must be a multiple of {PART}, and not more than --references")
    print(f"{machine()}; {options.threads} threads")
    sys.setswitchinterval(SWITCH_SECONDS)  # as the service does
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
    """Search at rest, and while references come and go; answers are compared when a tenth of them has, and clients wait."""
    rng = np.random.default_rng(2)
    queries = unit_rows(rng, 64, live.index.dimension)
    mirror = Mirror(live, changes)
    doomed = rng.permutation(len(mirror))[:changes].reshape(-1, PART)
    at_rest = during(live, queries, clients, lambda: time.sleep(REST_SECONDS))
    busy, wrong, seconds = [], 0, 0.0
    for numbers in np.array_split(np.arange(len(doomed)), CHECKS):
        added = [newcomers(rng, number, live.index.dimension) for number in numbers.tolist()]
        gone = [[mirror.ids[place] for place in doomed[number]] for number in numbers.tolist()]

        def change(added: list[list[Newcomer]] = added, gone: list[list[str]] = gone) -> None:
            for new, ids in zip(added, gone, strict=True):
                live.add(new, "benchmark", replace=False)
                live.remove(ids, "benchmark")
            live.compact()

        begun = time.perf_counter()
        busy.append(during(live, queries, clients, change))
        seconds += time.perf_counter() - begun
        for new, number in zip(added, numbers, strict=True):
            mirror.add([one.id for one in new], np.stack([one.row for one in new]))
            mirror.remove(doomed[number])
        wrong += compared(live, mirror, np.concatenate([queries[: CHECKED // 2], mirror.last(CHECKED // 2)]))
    return figures(at_rest, np.concatenate(busy), changes, seconds, wrong)


def newcomers(rng: np.random.Generator, number: int, dimension: int) -> list[Newcomer]:
    """The references of one change."""
    ids = [f"new{number * PART + i:07d}" for i in range(PART)]
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in ids]
    rows = unit_rows(rng, PART, dimension)
    return [Newcomer(name, digest, 0, row, None, {}) for name, digest, row in zip(ids, digests, rows, strict=True)]


def figures(at_rest: np.ndarray, busy: np.ndarray, changes: int, seconds: float, wrong: int) -> list[Ratio]:
    print(
        f"{changes} added and {changes} deleted in {seconds:.0f} s beside {len(busy)} searches: "
        f"p50 {1000 * np.median(busy):.0f} ms, p99 {1000 * np.percentile(busy, 99):.0f}, longest {1000 * busy.max():.0f}; "
        f"at rest p50 {1000 * np.median(at_rest):.0f}, p99 {1000 * np.percentile(at_rest, 99):.0f}; {wrong} wrong answers"
    )
    p99 = float(np.percentile(busy, 99) / np.percentile(at_rest, 99))
    return [
        Ratio("p99 of searches while references come and go / at rest", [p99], 5.0, at_most=True),
        Ratio("answers that differ from brute force", [float(wrong)], 0.0, at_most=True),
    ]


def during(live: LiveReferences, queries: np.ndarray, clients: int, work: Callable[[], object]) -> np.ndarray:
    """Seconds of the searches of some clients while something is done. Raises: whatever a search does."""
    stop = Event()
    threads = [Client(live, np.roll(queries, i, axis=0), stop) for i in range(clients)]
    for thread in threads:
        thread.start()
    try:
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
