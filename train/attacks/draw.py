"""What an attack is given besides the picture."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""uint8 RGB [H, W, 3]."""


@dataclass(frozen=True)
class Draw:
    """One draw of an attack.

    rng: the only source of chance. intensity: 0 (barely there) to 1 (as strong as people make them).
    other: gives another, unrelated picture.
    """

    rng: np.random.Generator
    intensity: float
    other: Callable[[], Pixels]

    def between(self, mild: float, strong: float) -> float:
        """A value between ``mild`` and at most ``strong``, reaching further the greater the intensity."""
        return float(self.rng.uniform(mild, mild + (strong - mild) * max(self.intensity, 0.05)))

    def sign(self) -> int:
        return 1 if self.rng.random() < 0.5 else -1

    def colour(self) -> tuple[int, int, int]:
        red, green, blue = self.rng.integers(0, 256, 3).tolist()
        return red, green, blue


Attack = Callable[[Pixels, Draw], Pixels]
"""Takes a picture, leaves it as it is, and returns a new one."""
