"""Measures what a search takes, on random rows of length 1: what a pair costs does not depend on the number of rows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..alike import OUTPUT, open_collection
from ..api import Engine
from ..candidates import nearest_references
from ..errors import PlanError
from ..infer import Device
from ..references import References
from ..run import describe_run
from ..search import Index
from ..searching import save_pairs, search
from ..store import merge_descriptors
from ..store.descriptors import write_descriptors
from .clock import Clock

ROWS = 65_536
INDEXED = 4
"""Times the rows, for a query alone: more than the processor's caches hold."""
QUERIES, FEW_QUERIES = 16_384, 256
VIEWS_TOGETHER = 320
"""Rows that ``match`` searches with at a time, about."""
FOUND_SHARE = 1e-5
"""Of all pairs, that the search returns: as the best 500,000 of 50,000 x 1,000,000."""
FOUND = 100_000
NEAREST = 10
ONE_QUERY_CALLS = 15

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SearchRates:
    """Seconds and bytes, see ``rates.Seconds`` and ``rates.Sizes``."""

    merge_row: float
    scan_row: float
    scan_pair: float
    found_pair: float
    nearest_pair: float
    one_query_row: float
    descriptor_row: float
    pair_row: float


def measure_search(
    engine: Engine, folder: Path, device: Device, clock: Clock, rounds: int, rows: int = ROWS
) -> SearchRates:
    """Files go to ``folder``, 150 MB of them. Raises: PlanError where so much else ran that the figures mean nothing."""
    threads, dimension = engine.embedder.workers, engine.dimension
    random = np.random.default_rng(0)
    references, queries = (_unit_rows(random, number, dimension) for number in (rows, QUERIES))
    ids, query_ids = ([f"{letter}{i:07}" for i in range(n)] for letter, n in (("R", rows), ("Q", QUERIES)))
    whole, parts = folder / "whole.h5", [folder / "first.h5", folder / "second.h5"]
    for half, part in zip((slice(None, rows // 2), slice(rows // 2, None)), parts, strict=True):
        _write(part, ids[half], references[half])
    merging = clock.median(rounds, lambda: merge_descriptors(parts, whole), threads=1)

    def searching(count: int) -> float:
        top = max(1, round(FOUND_SHARE * count * rows))
        some = query_ids[:count], queries[:count]
        return clock.median(rounds, lambda: search(some, whole, top=top, threads=threads, device=device))

    scan_row, scan_pair = solved(searching(FEW_QUERIES), searching(QUERIES), rows)
    found = search((query_ids, queries), whole, top=FOUND, threads=threads, device=device)
    pairs = folder / "pairs.csv"
    return SearchRates(
        merging / rows,
        scan_row,
        scan_pair,
        clock.median(rounds, lambda: save_pairs(found, pairs), threads=1) / len(found),
        _nearest(engine, folder / "rows.ct", ids, references, queries[:VIEWS_TOGETHER], clock, rounds),
        _one_query(references, queries, clock),
        whole.stat().st_size / rows,
        pairs.stat().st_size / len(found),
    )


def solved(few: float, many: float, rows: int) -> tuple[float, float]:
    """Seconds of a reference and of a pair, of two searches' with few and many queries: t = rows x (row + queries x pair).

    Raises: PlanError where there is no such answer above 0.
    """
    pair = (many - few) / ((QUERIES - FEW_QUERIES) * rows)
    row = few / rows - FEW_QUERIES * pair
    if not (pair > 0 and row > 0):
        raise PlanError("searches with few queries took as long as with many: measure again while nothing else runs")
    return row, pair


def _nearest(
    engine: Engine, path: Path, ids: list[str], rows: Float32, queries: Float32, clock: Clock, rounds: int
) -> float:
    """Seconds a pair of a search of a collection as ``match`` makes it: rows and their checksums are read each time."""
    made = describe_run(engine.embedder, "reference", OUTPUT)
    with open_collection(path, engine.dimension, made) as collection:
        collection.add(ids, rows)
        references = References.of_collection(collection, local=False)
        threads = engine.embedder.workers
        seconds = clock.median(rounds, lambda: nearest_references(queries, references, NEAREST, threads=threads))
    return seconds / (len(queries) * len(rows))


def _one_query(rows: Float32, queries: Float32, clock: Clock) -> float:
    """Seconds a reference in the service's index, for one query alone."""
    index = Index(rows.shape[1], threads=clock.threads)
    for copy in range(INDEXED):
        index.add([f"{copy}-{i}" for i in range(len(rows))], rows)
    index.nearest(queries[:1], NEAREST)  # makes the form that is scanned

    def one_by_one() -> None:
        for number in range(1, ONE_QUERY_CALLS + 1):
            index.nearest(queries[number : number + 1], NEAREST)

    return clock.median(1, one_by_one) / (ONE_QUERY_CALLS * INDEXED * len(rows))


def _unit_rows(random: np.random.Generator, count: int, dimension: int) -> Float32:
    rows: Float32 = random.standard_normal((count, dimension), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _write(path: Path, ids: list[str], rows: Float32) -> None:
    write_descriptors(path, [(ids, rows)], (len(ids), rows.shape[1]), [], {})
