"""What an edit of a validation set is given, and what it is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""uint8 RGB [H, W, 3]."""


@dataclass(frozen=True)
class Chance:
    """rng: the only source of chance. other: gives another, unrelated picture."""

    rng: np.random.Generator
    other: Callable[[], Pixels]

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def whole(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return int(self.rng.integers(low, high + 1))

    def one_of(self, choices):
        return choices[int(self.rng.integers(len(choices)))]

    def colour(self) -> tuple[int, int, int]:
        red, green, blue = self.rng.integers(0, 256, 3).tolist()
        return red, green, blue


Edit = Callable[[Pixels, Chance], Pixels]
"""Takes a picture, leaves it as it is, and returns a new one."""

Classes = dict[str, dict[str, Edit]]
"""Class -> the names of its edits -> the edits."""

CHAIN = "chain"
"""A class of every kind of set: two to four edits of different classes, one after the other."""


@dataclass(frozen=True)
class Kind:
    """A kind of set. order: names of classes and ``CHAIN``, which the queries get in turn."""

    classes: Classes
    order: list[str]
