"""Sets of attacked queries with their truth, made from any images, so that a user can measure and calibrate on their own.

``queries/Q00000.jpg`` ..., ``truth.csv`` (query_id, reference_id: the id of the image in its source, empty for distractors) and
``edits.csv`` (query_id, class_name, intensity, attacks). Every query has a generator of its own, from the seed and its number.
"""

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from copytrace.engine import BadImageError, StoreError
from copytrace.engine.pipeline import map_ordered
from copytrace.engine.read import DEFAULT_PIXEL_LIMIT, Image, Source, UndecodableError
from copytrace.engine.read.decode import decode_full
from copytrace.engine.threads import cpu_count

from .attacks import CLASSES, Draw, Pixels, attack_class, wide
from .settings import AttackSet

LONGEST_SIDE = 512
QUALITIES = (30, 90)
INTENSITIES = (0.2, 1.0)
_SETS = {"isc2021": (CLASSES, attack_class), "wide": (tuple(wide.MIXTURE), wide.attack_class)}


@dataclass(frozen=True)
class Query:
    """One attacked picture: its JPEG, its reference's id ("" for a distractor), and what was done to it."""

    id: str
    jpeg: bytes
    reference: str
    class_name: str
    intensity: float
    attacks: list[str]


def load(image: Image, longest: int = LONGEST_SIDE) -> Pixels:
    """An image as uint8 RGB [H, W, 3], its longer side at most ``longest``.

    Raises: BadImageError.
    """
    try:
        pixels = decode_full(image.read(), longest // 2, DEFAULT_PIXEL_LIMIT)
    except (UndecodableError, OSError) as error:
        raise BadImageError(f"{image.id}: {error}") from None
    factor = longest / max(pixels.shape[:2])
    if factor >= 1.0:
        return pixels
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def make_queries(
    source: Source, count: int, seed: int, distractors: Source | None = None, attacks: AttackSet = "isc2021"
) -> Iterator[Query]:
    """``count`` queries, in order; every second one from ``distractors`` where those are given.

    Different images of a source are used up before one is used again. Each class of the set of attacks gets the same share.
    Bad images raise BadImageError.
    """
    classes, apply = _SETS[attacks]
    orders = [
        np.random.default_rng([seed, 0, i]).permutation(len(s)) for i, s in enumerate((source, distractors or source))
    ]

    def make(number: int) -> Query:
        copy = distractors is None or number % 2 == 0
        place = number if distractors is None else number // 2
        pool, order = (source, orders[0]) if copy or distractors is None else (distractors, orders[1])
        image = pool[int(order[place % len(order)])]
        rng = np.random.default_rng([seed, 1, number])
        backgrounds = distractors or source

        def other() -> Pixels:
            index = int(rng.integers(len(backgrounds)))
            if backgrounds[index].id == image.id:
                index = (index + 1) % len(backgrounds)
            return load(backgrounds[index])

        class_name = classes[place % len(classes)]
        draw = Draw(rng, float(rng.uniform(*INTENSITIES)), other)
        edited, names = apply(load(image), draw, class_name)
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))]
        jpeg = cv2.imencode(".jpg", cv2.cvtColor(edited, cv2.COLOR_RGB2BGR), quality)[1].tobytes()
        return Query(f"Q{number:05d}", jpeg, image.id if copy else "", class_name, draw.intensity, names)

    with ThreadPoolExecutor(cpu_count()) as workers:
        yield from map_ordered(workers, make, range(count), 4 * cpu_count())


def write_set(queries: Iterator[Query], folder: Path) -> int:
    """Write a set into ``folder``, which must be new or empty; returns the number of queries.

    Raises: StoreError.
    """
    try:
        (folder / "queries").mkdir(parents=True, exist_ok=True)
        if any((folder / "queries").iterdir()):
            raise StoreError(f"{folder / 'queries'}: is not empty; give a new folder")
        with (
            (folder / "truth.csv").open("w", newline="", encoding="utf-8") as truth,
            (folder / "edits.csv").open("w", newline="", encoding="utf-8") as edits,
        ):
            truth_rows, edit_rows = (csv.writer(file, lineterminator="\n") for file in (truth, edits))
            truth_rows.writerow(("query_id", "reference_id"))
            edit_rows.writerow(("query_id", "class_name", "intensity", "attacks"))
            count = 0
            for query in queries:
                (folder / "queries" / f"{query.id}.jpg").write_bytes(query.jpeg)
                truth_rows.writerow((query.id, query.reference))
                edit_rows.writerow((query.id, query.class_name, f"{query.intensity:.3f}", "+".join(query.attacks)))
                count += 1
        return count
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror}") from error
