"""From photographs to a validation set: which of them are used, and the queries made of them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from copytrace.engine import DuplicateIdError, SourceError
from copytrace.engine.parallel import map_ordered
from copytrace.engine.read import Image, open_source
from copytrace.engine.threads import cpu_count

from ..data.pictures import LONGEST_SIDE, load
from ..data.query_set import Query, write_set
from .edit import CHAIN, Chance, Classes, Kind, Pixels
from .held_back import held_back_for
from .odd import ODD
from .wide import WIDE

QUALITIES = (30, 90)


@dataclass(frozen=True)
class Size:
    """How many references there are, how many of them have a copy among the queries, and how many queries have none."""

    references: int
    copies: int
    distractors: int


KINDS = {"wide": WIDE, "odd": ODD}
SIZES = {"wide": Size(1500, 750, 750), "odd": Size(400, 200, 200)}


@dataclass(frozen=True)
class Photographs:
    """The photographs of a set; ``others`` (at least the distractors) are what is laid under and over pictures, too."""

    references: list[Image]
    distractors: list[Image]
    others: list[Image]


def choose(roots: Sequence[Path], kind: str, size: Size, seed: int) -> Photographs:
    """Photographs out of those held back for the kind of set, whatever roots they lie in.

    Raises: SourceError, DuplicateIdError.
    """
    held = {}
    for image in (image for root in roots for image in open_source(root)):
        if held_back_for(image.id) == kind:
            if image.id in held:
                raise DuplicateIdError(f"two photographs have the id {image.id!r}")
            held[image.id] = image
    needed = size.references + size.distractors
    if len(held) < needed:
        raise SourceError(f"{len(held)} of the photographs are held back for the {kind} set, which needs {needed}")
    names = sorted(held)
    mixed = [held[names[i]] for i in np.random.default_rng([seed, 0]).permutation(len(names))]
    return Photographs(mixed[: size.references], mixed[size.references : needed], mixed[size.references :])


def queries(photographs: Photographs, copies: int, kind: Kind, seed: int) -> Iterator[Query]:
    """Edited copies of the first references, and edited distractors, mixed; both get the kind's classes in turn."""
    pool = photographs.references[:copies] + photographs.distractors
    order = np.random.default_rng([seed, 1]).permutation(len(pool))

    def make(number: int) -> Query:
        place = int(order[number])
        image, rng = pool[place], np.random.default_rng([seed, 2, place])
        others = [other for other in photographs.others if other.id != image.id]
        chance = Chance(rng, lambda: load(others[int(rng.integers(len(others)))]))
        class_name = kind.order[(place if place < copies else place - copies) % len(kind.order)]
        pixels, done = _edited(load(image), chance, kind.classes, class_name)
        reference = image.id if place < copies else ""
        return Query(f"Q{number:05d}", _jpeg(pixels, chance), reference, class_name, None, done)

    with ThreadPoolExecutor(cpu_count()) as workers:
        yield from map_ordered(workers, make, range(len(pool)), 4 * cpu_count())


def _edited(pixels: Pixels, chance: Chance, classes: Classes, class_name: str) -> tuple[Pixels, list[str]]:
    """The picture after one edit of the class, or a chain; and the edits' names."""
    chain = [class_name]
    if class_name == CHAIN:
        chain = [str(name) for name in chance.rng.choice(list(classes), chance.whole(2, 4), replace=False)]
    done = []
    for name in chain:
        edit = chance.one_of(list(classes[name]))
        pixels = classes[name][edit](pixels, chance)
        done.append(edit)
    return pixels, done


def _jpeg(pixels: Pixels, chance: Chance) -> bytes:
    factor = LONGEST_SIDE / max(pixels.shape[:2])
    if factor < 1.0:
        height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, chance.whole(*QUALITIES)]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)[1].tobytes()


def make_set(roots: Sequence[Path], folder: Path, name: str, size: Size, seed: int) -> int:
    """Write a set of the kind of that name into the new ``folder``; returns the number of queries.

    Raises: SourceError, DuplicateIdError, BadImageError, StoreError, MissingExtraError.
    """
    photographs = choose(roots, name, size, seed)
    references = ((f"{image.id}.jpg", image.read()) for image in photographs.references)
    return write_set(queries(photographs, size.copies, KINDS[name], seed), folder, references)
