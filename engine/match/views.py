"""Views: the parts and turns of a picture that are compared, each for itself, by the global descriptor.

======================  ====================================================================
query                   the whole, the three quarter turns, and up to three regions found
reference               the whole and, where a collection keeps them, nine crops
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
_CROPS = 3  # in each direction
_CROP_SHARE = 0.6  # of each side
CROP_LABELS = tuple(f"crop-{number}" for number in range(1, _CROPS * _CROPS + 1))
"""Row by row, from the upper left; also what a collection calls their rows."""
REFERENCE_VIEWS = (WHOLE, *CROP_LABELS)
"""All that a reference can have, in the order of its rows."""


@dataclass(frozen=True, slots=True)
class View:
    """A part of a picture, turned by ``quarters`` of a turn counterclockwise; its label says which."""

    label: str
    box: Box | None = None
    quarters: int = 0

    @property
    def kind(self) -> str:
        """ "whole", "turn", "region" or "crop"."""
        if self.box is not None:
            return "crop" if self.label in CROP_LABELS else "region"
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


def reference_crops(width: int, height: int) -> list[View]:
    """The nine crops of a reference of this size: windows of 0.6 of each side, in three rows from edge to edge."""
    sides = [max(1, round(_CROP_SHARE * side)) for side in (width, height)]
    lefts, tops = (
        [round(place * (whole - side) / (_CROPS - 1)) for place in range(_CROPS)]
        for whole, side in zip((width, height), sides, strict=True)
    )
    boxes = (Box(left, top, left + sides[0], top + sides[1]) for top in tops for left in lefts)
    return [View(label, box) for label, box in zip(CROP_LABELS, boxes, strict=True)]
