"""The queries that the constants of matching are fitted on: attacked photographs, photographs as they are, and other shots."""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from copytrace.engine.read import Image, Source

from ..data.attack_set import QUALITIES, make_queries
from ..data.pictures import load
from ..data.query_set import Query

AS_IT_IS = "as it is"
"""What the ids of queries begin with that are photographs as they are."""
_PARTS = 2
_PART = (0.45, 0.85)  # of each side
_SETS = ("isc2021", "wide")


def training_queries(references: Source, others: Source, count: int, seed: int) -> Iterator[Query]:
    """About ``count`` queries: a third made by each set of attacks, half of them (and everything that is pasted or blended in)
    of ``others``; and a sixth photographs of ``references`` as they are. Such a one has its own id as its reference."""
    yield from _attacked(references, others, count // 3, seed)
    order = np.random.default_rng([seed, 2]).permutation(len(references))[: count // 6]
    for image in (references[int(place)] for place in order):
        yield _as_it_is(image)


def scene_queries(scenes: Source, others: Source, seed: int) -> Iterator[Query]:
    """Every photograph of ``scenes`` as it is, two parts of each, as if it were taken from nearer, and as many attacked ones by
    each set of attacks, half of them made of ``others``."""
    for image in scenes:
        yield _as_it_is(image)
    for place, image in enumerate(scenes):
        for number in range(_PARTS):
            rng = np.random.default_rng([seed, 3, place, number])
            yield Query(f"part {number} {image.id}", _part(image, rng), image.id, "part", None, [])
    yield from _attacked(scenes, others, len(scenes), seed)


def is_attacked(query_id: str) -> bool:
    return not query_id.startswith(AS_IT_IS)


def _attacked(source: Source, others: Source, count: int, seed: int) -> Iterator[Query]:
    for attacks in _SETS:
        for query in make_queries(source, count, seed, others, attacks):
            yield replace(query, id=f"{attacks} {query.id}")


def _as_it_is(image: Image) -> Query:
    return Query(f"{AS_IT_IS} {image.id}", image.read(), image.id, "none", None, [])


def _part(image: Image, rng: np.random.Generator) -> bytes:
    pixels = load(image)
    share = float(rng.uniform(*_PART))
    height, width = (max(1, int(side * share)) for side in pixels.shape[:2])
    top, left = (int(rng.integers(0, s - p + 1)) for s, p in zip(pixels.shape[:2], (height, width), strict=True))
    part = cv2.cvtColor(pixels[top : top + height, left : left + width], cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", part, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*QUALITIES))])[1].tobytes()
