"""Attacked queries with their truth, made from any images, so that a user can measure and calibrate on their own.

A query's reference is the id of its image in the source. Every query has a generator of its own, from the seed and its number.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from copytrace.engine.parallel import map_ordered
from copytrace.engine.read import Source
from copytrace.engine.threads import cpu_count

from ..attacks import CLASSES, Draw, Pixels, attack_class, wide
from ..settings import AttackSet
from .pictures import load
from .query_set import Query

QUALITIES = (30, 90)
INTENSITIES = (0.2, 1.0)
_SETS = {"isc2021": (CLASSES, attack_class), "wide": (tuple(wide.MIXTURE), wide.attack_class)}


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
