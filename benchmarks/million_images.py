"""Any number of distinct JPEGs for the challenge's size: crops and re-encodings of photographs, and edited copies of them.

An image depends on the seed and its own number alone, so that tars are the same whoever makes them, in whatever order.
"""

import csv
import hashlib
import io
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

COPIES = 0.2  # of the queries, as in the challenge's first phase
HELD_BACK = 10  # one photograph in ten is for distractors, the others for references
_REFERENCE, _QUERY = 0, 1
_TOGETHER = 500  # images that a process makes at a time

Place = tuple[Path, int, int]
"""A photograph: its tar, and where in it the bytes are."""


@dataclass(frozen=True)
class Recipe:
    """What images are made of: photographs for references and for distractors, the number of references, the seed."""

    originals: list[Place]
    distractors: list[Place]
    references: int
    seed: int

    @classmethod
    def of(cls, tars: Sequence[Path], references: int, seed: int) -> "Recipe":
        places: list[Place] = []
        for path in tars:
            with tarfile.open(path, "r:") as archive:
                places += [(path, one.offset_data, one.size) for one in archive if one.name.endswith(".jpg")]
        if len(places) < HELD_BACK:
            raise SystemExit(f"{len(places)} photographs in the tars; {HELD_BACK} or more are needed")
        return cls([p for i, p in enumerate(places) if i % HELD_BACK], places[::HELD_BACK], references, seed)

    def reference(self, number: int, attempt: int = 0) -> bytes:
        """A window of a photograph, 60 to 100 % of each side, 144 to 208 pixels at its shorter side."""
        choice = np.random.default_rng((self.seed, _REFERENCE, number, attempt))
        photograph = _pixels(self.originals[number % len(self.originals)])
        window = _window(photograph, choice, 0.6)
        return _encoded(_resized(window, int(choice.integers(144, 209))), int(choice.integers(82, 95)))

    def original(self, number: int) -> int | None:
        """The reference that a query is a copy of, None for a distractor."""
        choice = np.random.default_rng((self.seed, _QUERY, number))
        return int(choice.integers(self.references)) if choice.random() < COPIES else None

    def query(self, number: int) -> bytes:
        """A reference or a distractor, cut, edited twice and compressed strongly."""
        original = self.original(number)
        choice = np.random.default_rng((self.seed, _QUERY, number, 1))
        if original is None:
            pixels = _pixels(self.distractors[int(choice.integers(len(self.distractors)))])
        else:
            pixels = simplejpeg.decode_jpeg(self.reference(original))
        pixels = _resized(_window(pixels, choice, 0.5), int(choice.integers(128, 225)))
        for edit in choice.choice(len(_EDITS), 2, replace=False):
            pixels = _EDITS[edit](pixels, choice)
        return _encoded(pixels, int(choice.integers(30, 90)))


def _pixels(place: Place) -> np.ndarray:
    path, offset, size = place
    with path.open("rb") as file:
        file.seek(offset)
        return np.asarray(simplejpeg.decode_jpeg(file.read(size)))


def _encoded(pixels: np.ndarray, quality: int) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, colorsubsampling="420"))


def _window(pixels: np.ndarray, choice: np.random.Generator, smallest: float) -> np.ndarray:
    sides = zip(pixels.shape[:2], choice.uniform(smallest, 1, 2), strict=True)
    height, width = (max(8, int(side * share)) for side, share in sides)
    top, left = (int(choice.integers(n)) for n in (pixels.shape[0] - height + 1, pixels.shape[1] - width + 1))
    return pixels[top : top + height, left : left + width]


def _resized(pixels: np.ndarray, shorter: int) -> np.ndarray:
    scale = shorter / min(pixels.shape[:2])
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)


def _lit(pixels: np.ndarray, choice: np.random.Generator) -> np.ndarray:
    return cv2.convertScaleAbs(pixels, alpha=choice.uniform(0.6, 1.5), beta=choice.uniform(-30, 30))


def _blurred(pixels: np.ndarray, choice: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(pixels, (0, 0), choice.uniform(0.8, 2.5))


def _grey(pixels: np.ndarray, choice: np.random.Generator) -> np.ndarray:
    return np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)


def _framed(pixels: np.ndarray, choice: np.random.Generator) -> np.ndarray:
    sides = [int(side) for side in choice.integers(2, 40, 4)]
    colour = [int(value) for value in choice.integers(0, 256, 3)]
    return cv2.copyMakeBorder(pixels, *sides, cv2.BORDER_CONSTANT, value=colour)


def _written_over(pixels: np.ndarray, choice: np.random.Generator) -> np.ndarray:
    place = (int(choice.integers(pixels.shape[1] // 2)), int(choice.integers(20, pixels.shape[0])))
    text, colour = f"photo {choice.integers(10_000)}", [int(value) for value in choice.integers(0, 256, 3)]
    return cv2.putText(pixels.copy(), text, place, cv2.FONT_HERSHEY_SIMPLEX, choice.uniform(0.5, 1.2), colour, 2)


_EDITS = (
    lambda pixels, choice: pixels[:, ::-1],
    lambda pixels, choice: np.rot90(pixels),
    _lit,
    _blurred,
    _grey,
    _framed,
    _written_over,
)


def _made(recipe: Recipe, kind: int, start: int, stop: int) -> list[bytes]:
    make = recipe.reference if kind == _REFERENCE else recipe.query
    return [make(number) for number in range(start, stop)]


@dataclass
class Made:
    """The tars and what is in them. repeated: references that were made anew, since their bytes had been there before."""

    folder: Path
    counts: list[int] = field(default_factory=list)
    query_count: int = 0
    image_bytes: int = 0
    repeated: int = 0

    @property
    def references(self) -> list[Path]:
        return [self.folder / f"references-{i:02d}.tar" for i in range(len(self.counts))]

    @property
    def queries(self) -> Path:
        return self.folder / "queries.tar"


def make_tars(recipe: Recipe, queries: int, folder: Path, tars: int, processes: int) -> Made:
    """References ``R000000.jpg`` ... in ``tars`` files, queries ``Q00000.jpg`` ... in one, and ``truth.csv``."""
    made = Made(folder, query_count=queries)
    cv2.setNumThreads(1)
    seen: set[bytes] = set()
    with ProcessPoolExecutor(processes) as pool:

        def images(kind: int, start: int, stop: int) -> Iterator[bytes]:
            starts = range(start, stop, _TOGETHER)
            stops = [min(stop, first + _TOGETHER) for first in starts]
            for part in pool.map(partial(_made, recipe, kind), starts, stops):
                yield from part

        def distinct(start: int, stop: int) -> Iterator[bytes]:
            for number, data in enumerate(images(_REFERENCE, start, stop), start):
                attempt = 0
                while (digest := hashlib.blake2b(data, digest_size=16).digest()) in seen:
                    attempt += 1
                    data = recipe.reference(number, attempt)
                made.repeated += attempt > 0
                seen.add(digest)
                yield data

        for i in range(tars):
            start, stop = (recipe.references * place // tars for place in (i, i + 1))
            made.counts.append(stop - start)
            made.image_bytes += _write(made.references[-1], "R{:06d}.jpg", start, distinct(start, stop))
        made.image_bytes += _write(made.queries, "Q{:05d}.jpg", 0, images(_QUERY, 0, queries))
    with (folder / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("query_id", "reference_id"), *_truth(recipe, queries)])
    return made


def _truth(recipe: Recipe, queries: int) -> Iterator[tuple[str, str]]:
    for number in range(queries):
        original = recipe.original(number)
        yield f"Q{number:05d}", "" if original is None else f"R{original:06d}"


def _write(path: Path, names: str, start: int, images: Iterator[bytes]) -> int:
    """Bytes of the images."""
    size = 0
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number, data in enumerate(images, start):
            info = tarfile.TarInfo(names.format(number))
            info.size = len(data)
            size += len(data)
            archive.addfile(info, io.BytesIO(data))
    return size
