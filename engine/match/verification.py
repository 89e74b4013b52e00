"""What verifying a pair is asked and what it answers; the formulas stand in ``reference``."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .variants import Variant


@dataclass(frozen=True, slots=True)
class Rules:
    """The constants of verification, chosen on attacked training photographs.

    ratio: a match counts when its distance is below ``ratio`` times the next best one.
    place: how far a match may lie from where the map puts it, in pixels of the reference's small picture; twice that for a
        similarity proposed by one match, one and a half times that for the first affine fit.
    octaves, turns: how far sizes (binary logarithm) and angles (turns) of two matches may differ; one and a half times
        that many octaves during the fits.
    stretch: an affine fit that stretches one direction more than this many times as much as another is refused.
    cell: matches count once per cell of so many pixels, in both pictures.
    """

    ratio: float = 0.85
    place: float = 5.0
    octaves: float = 0.72
    turns: float = 0.08
    stretch: float = 3.0
    cell: float = 3.0

    def __post_init__(self) -> None:
        limits = {"ratio": 1.0, "place": 1000.0, "octaves": 16.0, "turns": 0.5, "stretch": 100.0, "cell": 1000.0}
        for name, most in limits.items():
            if not 0.0 < getattr(self, name) <= most:
                raise ValueError(f"{name} must be above 0 and at most {most:g}, not {getattr(self, name)}")
        if self.stretch < 1.0:
            raise ValueError(f"stretch must be at least 1, not {self.stretch}")


DEFAULT_RULES = Rules()


@dataclass(frozen=True, eq=False, slots=True)
class Verification:
    """The matches of a query with a reference that agree on one affine map, under the variant that has most of them.

    inliers: matches at different places, see ``Rules.cell``; 0 when fewer than three agree, then all else is empty.
    matches: all matches of the variant that passed the ratio test.
    query_rows, reference_rows: int32 [M], the features of the agreeing matches, M >= inliers, in the query's order.
    affine: float64 [2, 3], the reference's small picture -> the query's: (x, y) = affine @ (x, y, 1), in pixels.
    spread: pixels; radius of the circle that is as large as the matches' ellipse of standard deviations, the smaller one
        of both pictures. 0 on a line.
    """

    inliers: int
    variant: Variant
    matches: int
    query_rows: NDArray[np.int32]
    reference_rows: NDArray[np.int32]
    affine: NDArray[np.float64]
    spread: float


NONE = Verification(
    0, Variant.AS_IS, 0, np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((2, 3), np.float64), 0.0
)
