"""Photographs to train on, from several folders, tar shards or lists."""

import random
from collections import Counter
from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np

from copytrace.engine import BadImageError
from copytrace.engine.read import Image, open_source

from ..attacks import Pixels
from .pictures import LONGEST_SIDE, load


class Photographs:
    """Photographs of several roots in an order mixed by ``seed``; a photograph's place in it is its class in training.

    roots: folders, uncompressed tars or text files of paths. Two roots may use the same ids.
    Attributes: ``ignored``, how many files of which kind are not images.
    Raises: SourceError.
    """

    def __init__(self, roots: Sequence[Path], seed: int = 0) -> None:
        sources = [open_source(root) for root in roots]
        self._images = [(source, i) for source in sources for i in range(len(source))]
        random.Random(seed).shuffle(self._images)
        self._fingerprints = [source.names() for source in sources]
        self.ignored = sum((Counter(source.ignored) for source in sources), Counter())
        self.unreadable: set[int] = set()
        self._latest: tuple[int, tuple[int, Pixels]] | None = None

    def __len__(self) -> int:
        return len(self._images)

    def split(self, last: int) -> tuple["Photographs", "Photographs"]:
        """All but the last photographs, and the last ones."""
        parts = copy(self), copy(self)
        cut = len(self) - last
        for part, images in zip(parts, (self._images[:cut], self._images[cut:]), strict=True):
            part._images, part.unreadable, part._latest = images, set(), None
        return parts

    def fingerprint(self) -> str:
        """Changes with the ids and file names of any root."""
        return "-".join(text[:16] for text in self._fingerprints)

    def id(self, place: int) -> str:
        return self._image(place).id

    def load(self, place: int) -> tuple[int, Pixels]:
        """The photograph at ``place``, uint8 RGB, its longer side at most 512; or, where it cannot be read, the next that can
        be. The latest one is kept, as a photograph's views are made one after the other; leave it as it is.

        Returns: (the place it was found at, pixels). Raises: BadImageError when there is none at all.
        """
        latest = self._latest
        if latest is None or latest[0] != place:
            latest = self._latest = place, self.load_once(place)
        return latest[1]

    def load_once(self, place: int) -> tuple[int, Pixels]:
        """As :meth:`load`, and not kept."""
        for candidate in range(place, place + len(self)):
            candidate %= len(self)
            if candidate not in self.unreadable:
                try:
                    return candidate, load(self._image(candidate), LONGEST_SIDE)
                except BadImageError:
                    self.unreadable.add(candidate)
        raise BadImageError("none of the photographs can be read")

    def _image(self, place: int) -> Image:
        source, index = self._images[place]
        return source[index]


def spread(count: int, wanted: int) -> list[int]:
    """``wanted`` places spread evenly over ``count``."""
    return np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist()
