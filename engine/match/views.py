"""Views: the parts and turns of a picture that are compared, each for itself, by the global descriptor.

======================  ====================================================================
query                   the whole, the three quarter turns, and up to three regions found
reference               the whole
======================  ====================================================================
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .regions import MOST_REGIONS, Box, RegionFinder, find_regions

Pixels = NDArray[np.uint8]
WHOLE = "whole"
_ROTATIONS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True, slots=True)
class View:
    """A part of a picture, turned by ``quarters`` of a turn counterclockwise; its label says which."""

    label: str
    box: Box | None = None
    quarters: int = 0

    @property
    def kind(self) -> str:
        """ "whole", "turn" or "region"."""
        if self.box is not None:
            return "region"
        return "turn" if self.quarters else WHOLE

    def cut(self, pixels: Pixels) -> Pixels:
        """The view's pixels [h, w, 3] of a picture [H, W, 3], C-contiguous."""
        if self.box is not None:
            pixels = pixels[self.box.top : self.box.bottom, self.box.left : self.box.right]
        if self.quarters == 0:
            return np.ascontiguousarray(pixels)
        return np.asarray(cv2.rotate(pixels, _ROTATIONS[self.quarters]), np.uint8)


WHOLE_VIEW = View(WHOLE)
TURNS = (View("turned 90", None, 1), View("turned 180", None, 2), View("turned 270", None, 3))


def query_views(
    pixels: Pixels, *, turns: bool = True, regions: int = MOST_REGIONS, find: RegionFinder = find_regions
) -> list[View]:
    """The views of a query uint8 RGB [H, W, 3]; the whole is the first one. find: who finds its regions."""
    found = find(pixels, regions) if regions else []
    return [
        WHOLE_VIEW,
        *(TURNS if turns else ()),
        *(View(f"region {number}", region.box) for number, region in enumerate(found, 1)),
    ]
