"""Local recall: its speed and what it finds against looking at every row, and the memory that a million references take.

    python -m benchmarks.local_recall PHOTOGRAPHS [--count 20000] [--collection REFS.ct]

PHOTOGRAPHS: a folder, a tar or a list of paths; ``--count`` of them are the references, 20,000 being 1/50 of a million. With
--collection its references are, with the features it keeps, and the queries are made of those PHOTOGRAPHS that it has.
Against every row at most a million features are looked at.
"""

import argparse
import ctypes
import time
from pathlib import Path

import cv2
import numpy as np

from copytrace.engine import Engine, Matcher
from copytrace.engine.bundle import DEFAULT_BUNDLE
from copytrace.engine.collection import Collection
from copytrace.engine.match import recall
from copytrace.engine.match.features import REFERENCE_FEATURES, LocalFeatures, extract
from copytrace.engine.match.recall import LocalIndex, Quantisers, most_voted
from copytrace.engine.read import DEFAULT_PIXEL_LIMIT, Image, Source, open_source
from copytrace.engine.read.decode import decode_full
from copytrace.engine.references import References

from .harness import Ratio

MILLION = 1_000_000
QUERIES, QUERY_FEATURES = 100, 100  # looking at every row takes half a second a query even so
ADDED = 256  # references at a time
ROOM = 1.125  # of a million references, whose lists' lengths are told by a sample; of fewer all are counted
GIB = 2**30

Owned = list[tuple[str, LocalFeatures]]
"""References by their ids."""


def run(source: Source, count: int, most_rows: int = MILLION, collection: Path | None = None) -> list[Ratio]:
    references = extracted(source, count) if collection is None else stored(collection, count)
    features = [one for _, one in references]
    print(f"{len(features)} references, {sum(map(len, features))} local features")
    quantisers = Quantisers.load(DEFAULT_BUNDLE / "quantisers.npz")
    fewer = references[: int(np.searchsorted(np.cumsum([len(one) for one in features]), most_rows, "right"))]
    results = [*against_every_row(fewer, edits(source, fewer), quantisers), memory(features, quantisers)]
    return results if collection is None else [*results, rest_of_matching(collection, results[-1].median)]


def extracted(source: Source, count: int) -> Owned:
    images = [source[i] for i in range(min(count, len(source)))]
    return [(image.id, extract(pixels_of(image), REFERENCE_FEATURES)) for image in images]


def stored(path: Path, count: int) -> Owned:
    with Collection.open(path) as collection:
        references = References.of_collection(collection)
    return [(name, references.features[i]) for i, name in enumerate(references.ids[:count])]


def edits(source: Source, references: Owned) -> list[tuple[int, LocalFeatures]]:
    """Edits of photographs that are references, with the place of the one each is made of."""
    places = {name: place for place, (name, _) in enumerate(references)}
    chosen = [image for image in source if image.id in places][:: max(1, len(references) // QUERIES)][:QUERIES]
    return [(places[image.id], extract(edited(pixels_of(image)), QUERY_FEATURES)) for image in chosen]


def against_every_row(
    references: Owned, queries: list[tuple[int, LocalFeatures]], quantisers: Quantisers
) -> list[Ratio]:
    """A query is found when the reference it is made of has the most votes."""
    rows = sum(len(one) for _, one in references)
    lists, flat = LocalIndex(max(rows, recall.FLAT_ROWS + 1), quantisers), LocalIndex(0, quantisers)
    seconds, found = [], []
    for index in (flat, lists):
        index.add(range(len(references)), [one for _, one in references])
        start = time.process_time()
        votes = index.votes([query for _, query in queries])
        seconds.append(time.process_time() - start)
        found.append(sum(most_voted(v, 1) == [place] for v, (place, _) in zip(votes, queries, strict=True)))
    name = f"votes of {lists.kind} against {rows} rows / of every row"
    print(
        f"{name}: found {found[1]} and {found[0]} of {len(queries)}, {1000 * seconds[1] / len(queries):.2f} ms a query"
    )
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
    index.reserve([features], 1)
    for start in range(0, len(features), ADDED):
        part = features[start : start + ADDED]
        index.add(range(start, start + len(part)), part)
    ctypes.CDLL(None).malloc_trim(0)
    grown = (resident() - before) / rows * ROOM
    formula = recall.memory_bytes(total)
    print(
        f"{index.kind}: {grown:.1f} bytes a row measured, with the room reserved for a million, {formula / total:.0f} by the "
        f"formula; a million references have {total} rows: {grown * total / GIB:.2f} GiB, {formula / GIB:.2f} by the formula; "
        f"features kept for verification stay on disk (136 bytes a row, {136 * total / GIB:.1f} GiB)"
    )
    return Ratio("GiB of the index of a million references", [grown * total / GIB], 12.0, at_most=True)


def rest_of_matching(path: Path, index: float) -> Ratio:
    """GiB for a million references: the index, and what else a matcher holds of a collection's references, times as many."""
    engine = Engine(threads=1)
    before = resident()
    with Collection.open(path) as collection:
        matcher = Matcher(collection, "verify", engine=engine)
    matcher.match(np.zeros((200, 300, 3), np.uint8))
    count = len(matcher.references)
    held = (resident() - before) / count
    descriptors = matcher.references.descriptors.shape[1] * 4
    print(
        f"beside the index {held:.0f} bytes a reference measured on {count}, and {descriptors} of descriptors, on disk "
        f"but all read by every query: a million references {(held + descriptors) * MILLION / GIB:.2f} GiB"
    )
    return Ratio(
        "GiB of all that matching a million holds", [index + (held + descriptors) * MILLION / GIB], 12.0, at_most=True
    )


def resident() -> int:
    """Bytes of this process in memory, without files that are mapped."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) * 1024


def pixels_of(image: Image) -> np.ndarray:
    return decode_full(image.read(), 256, DEFAULT_PIXEL_LIMIT)


def edited(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 10, 1.2)
    return cv2.warpAffine(pixels, matrix, (width, height))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--count", type=int, default=MILLION // 50)
    parser.add_argument("--rows", type=int, default=MILLION, help="against which every row is looked at")
    parser.add_argument("--collection", type=Path)
    args = parser.parse_args()
    results = run(open_source(args.photographs), args.count, args.rows, args.collection)
    print("\n".join(result.line() for result in results))


if __name__ == "__main__":
    main()
