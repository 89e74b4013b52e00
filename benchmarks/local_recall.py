"""Local recall: its speed and what it finds against looking at every row, and the memory that a million references take.

    python -m benchmarks.local_recall PHOTOGRAPHS [--count 20000]

PHOTOGRAPHS: a folder, a tar or a list of paths; ``--count`` of them are the references, 20,000 being 1/50 of a million. Against
every row at most a million features are looked at.
"""

import argparse
import ctypes
import time
from pathlib import Path

import cv2
import numpy as np

from copytrace.engine.bundle import DEFAULT_BUNDLE
from copytrace.engine.match import recall
from copytrace.engine.match.features import REFERENCE_FEATURES, LocalFeatures, extract
from copytrace.engine.match.recall import LocalIndex, Quantisers, most_voted
from copytrace.engine.read import DEFAULT_PIXEL_LIMIT, Source, open_source
from copytrace.engine.read.decode import decode_full

from .harness import Ratio

MILLION = 1_000_000
QUERIES, QUERY_FEATURES = 20, 30  # looking at every row takes seconds a query even so
ADDED = 256  # references at a time
GIB = 2**30


def run(source: Source, count: int, most_rows: int = MILLION) -> list[Ratio]:
    images = [source[i] for i in range(min(count, len(source)))]
    features = [extract(decode_full(image.read(), 256, DEFAULT_PIXEL_LIMIT), REFERENCE_FEATURES) for image in images]
    print(f"{len(features)} references, {sum(map(len, features))} local features")
    quantisers = Quantisers.load(DEFAULT_BUNDLE / "quantisers.npz")
    fewer = features[: int(np.searchsorted(np.cumsum([len(one) for one in features]), most_rows, "right"))]
    pictures = [decode_full(images[i].read(), 256, DEFAULT_PIXEL_LIMIT) for i in range(min(QUERIES, len(fewer)))]
    queries = [extract(edited(pixels), QUERY_FEATURES) for pixels in pictures]
    return [*against_every_row(fewer, queries, quantisers), memory(features, quantisers)]


def against_every_row(
    features: list[LocalFeatures], queries: list[LocalFeatures], quantisers: Quantisers
) -> list[Ratio]:
    """Query i is an edit of reference i; found when that has the most votes."""
    rows = sum(map(len, features))
    lists, flat = LocalIndex(max(rows, recall.FLAT_ROWS + 1), quantisers), LocalIndex(0, quantisers)
    seconds, found = [], []
    for index in (flat, lists):
        index.add(range(len(features)), features)
        start = time.process_time()
        best = [most_voted(votes, 1) for votes in index.votes(queries)]
        seconds.append(time.process_time() - start)
        found.append(sum(one == [i] for i, one in enumerate(best)))
    name = f"votes of {lists.kind} against {rows} rows / of every row"
    print(f"{name}: found {found[1]} and {found[0]} of {len(queries)}")
    return [
        Ratio(f"{name}, time", [seconds[0] / seconds[1]], 10.0),
        Ratio(f"{name}, found", [found[1] / max(1, found[0])], 0.98),
    ]


def memory(features: list[LocalFeatures], quantisers: Quantisers) -> Ratio:
    """GiB for a million references: what the index grows by for each row, and the rows of these references, times as many."""
    rows = sum(map(len, features))
    total = MILLION * rows // len(features)
    index = LocalIndex(max(total, recall.PRODUCT_ROWS), quantisers)
    ctypes.CDLL(None).malloc_trim(0)  # or the index would grow into what others have freed
    before = resident()
    for start in range(0, len(features), ADDED):
        part = features[start : start + ADDED]
        index.add(range(start, start + len(part)), part)
    ctypes.CDLL(None).malloc_trim(0)
    grown = (resident() - before) / rows
    formula = recall.memory_bytes(total)
    print(
        f"{index.kind}: {grown:.1f} bytes a row measured, {formula / total:.0f} by the formula; a million references have "
        f"{total} rows: {grown * total / GIB:.2f} GiB, {formula / GIB:.2f} by the formula; with features kept for verification "
        f"(136 bytes a row, mapped from disk) {(grown + 136) * total / GIB:.2f}"
    )
    return Ratio("GiB of the index of a million references", [grown * total / GIB], 12.0, at_most=True)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def edited(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 10, 1.2)
    return cv2.warpAffine(pixels, matrix, (width, height))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--count", type=int, default=MILLION // 50)
    parser.add_argument("--rows", type=int, default=MILLION, help="against which every row is looked at")
    args = parser.parse_args()
    print("\n".join(result.line() for result in run(open_source(args.photographs), args.count, args.rows)))


if __name__ == "__main__":
    main()
