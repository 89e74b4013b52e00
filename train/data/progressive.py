"""Views that grow harder while training goes on."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Progressive:
    """Picture size and attack intensity that grow during the first ``share`` of the training, size in steps of 32 pixels."""

    size: int
    intensity: float = 1.0
    first_size: int | None = None
    first_intensity: float = 0.2
    share: float = 0.7

    def at(self, progress: float) -> tuple[int, float]:
        """progress: 0 to 1 -> (size, intensity)."""
        grown = min(1.0, progress / self.share) if self.share else 1.0
        first = self.size if self.first_size is None else self.first_size
        size = first + math.floor((self.size - first) * grown / 32) * 32 if grown < 1.0 else self.size
        return size, self.first_intensity + (self.intensity - self.first_intensity) * grown
