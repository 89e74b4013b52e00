"""What a run over the challenge's size gave, against plain ways to it: brute force in float64, and images embedded alone."""

import csv
import tarfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from copytrace.engine import Engine

_ROWS = 16_384
_NEAR = 1e-9  # far more than float64 loses in |q|^2 + |r|^2 - 2 q.r, and candidates are computed again


def pairs_differ(queries: Path, references: Path, pairs: Path, sample: int, seed: int = 0) -> int:
    """How many of ``sample`` queries have other pairs, or other scores to the last bit, than brute force gives them."""
    found: defaultdict[str, set[tuple[str, float]]] = defaultdict(set)
    last = 0.0  # the worst score in the file: what scores as much may have been cut off by its ids
    with pairs.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            last = float(row["score"])
            found[row["query_id"]].add((row["reference_id"], last))
    with h5py.File(queries, "r", locking=False) as file:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(file["ids"]))[:sample])
        names, rows = file["ids"].asstr()[chosen], file["descriptors"][chosen]
    expected = _brute_force(rows, references, -last)
    differ = 0
    for name, right in zip(names, expected, strict=True):
        better = {pair for pair in right if pair[1] > last}
        differ += not (better <= found[name] <= right)
    return differ


def _brute_force(rows: np.ndarray, references: Path, limit: float) -> list[set[tuple[str, float]]]:
    """For each of the rows [N, D] all references within a squared distance, with their scores."""
    left = rows.astype(np.float64)
    result: list[set[tuple[str, float]]] = [set() for _ in left]
    squares = (left**2).sum(1)
    with h5py.File(references, "r", locking=False) as file:
        for start in range(0, len(file["ids"]), _ROWS):
            right = file["descriptors"][start : start + _ROWS].astype(np.float64)
            distances = squares[:, None] + (right**2).sum(1) - 2.0 * (left @ right.T)
            places = np.argwhere(distances <= limit + _NEAR)
            if not len(places):
                continue
            names = file["ids"].asstr()[start : start + _ROWS]
            exact = ((left[places[:, 0]] - right[places[:, 1]]) ** 2).sum(1)
            for (query, row), distance in zip(places.tolist(), exact.tolist(), strict=True):
                if distance <= limit:
                    result[query].add((names[row], 0.0 - distance))
    return result


def alone_rows_differ(tars: Sequence[Path], references: Path, sample: int, seed: int = 0) -> int:
    """How many of ``sample`` images have another row, to the last bit, when each is embedded alone."""
    engine, choice = Engine(threads=1), np.random.default_rng(seed)
    with h5py.File(references, "r", locking=False) as file:
        places = {name: place for place, name in enumerate(file["ids"].asstr()[:])}
        differ = 0
        for _ in range(sample):
            with tarfile.open(tars[int(choice.integers(len(tars)))], "r:") as archive:
                members = archive.getmembers()
                member = members[int(choice.integers(len(members)))]
                data = archive.extractfile(member)
                assert data is not None
                row = engine.embed([data.read()])[0]
            differ += not np.array_equal(row, file["descriptors"][places[Path(member.name).stem]])
    return differ
