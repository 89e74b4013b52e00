"""Regions from the maps of a trained single-class detector: what its network gives, read as boxes.

The network looks at a square of S pixels and gives VALUES maps of G x G cells. The first holds, as log odds, whether the centre
of a pasted photograph lies in a cell; the others the distances from the cell's middle to the photograph's left, upper, right
and lower side, as shares of the picture's sides.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .regions import MOST_REGIONS, Box, Region, distinct

VALUES = 5
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DetectorRules:
    """Which boxes are regions; confidence, largest area (share of the picture's) and sides' ratio are the published system's.

    least: shortest side as a share of the picture's. nested: boxes that share so much of the smaller one are one.
    """

    confidence: float = 0.5
    most: float = 0.85
    ratio: float = 4.0
    least: float = 0.08
    nested: float = 0.6


DEFAULT_RULES = DetectorRules()


def grid_of(values: int) -> int:
    """G of ``values`` numbers. Raises: ValueError where they are no VALUES square maps."""
    grid = round(math.sqrt(values / VALUES))
    if values < VALUES or VALUES * grid * grid != values:
        raise ValueError(f"a detector gives {VALUES} square maps, and {values} values are none")
    return grid


def read_regions(
    maps: Float32, size: tuple[int, int], most: int = MOST_REGIONS, rules: DetectorRules = DEFAULT_RULES
) -> list[Region]:
    """Up to ``most`` regions of a picture of ``size`` (width, height), the likeliest first, from its maps float32
    [VALUES * G * G]; a region's strength is the probability. Values that are not finite make no region."""
    width, height = size
    grid = grid_of(len(maps))
    odds, *distances = np.asarray(maps, np.float64).reshape(VALUES, grid, grid)
    odds = np.where(np.isfinite([odds, *distances]).all(axis=0), odds, -np.inf)
    highest = cv2.dilate(odds, np.ones((3, 3), np.uint8))
    least = np.log(rules.confidence) - np.log1p(-rules.confidence)
    rows, columns = np.nonzero((odds >= least) & (odds == highest))
    order = np.argsort(-odds[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    left, top, right, bottom = (distance[rows, columns] for distance in distances)
    x, y = (columns + 0.5) / grid, (rows + 0.5) / grid
    edges = np.stack([x - left, y - top, x + right, y + bottom], axis=1).clip(0.0, 1.0)
    edges *= [width, height, width, height]
    return distinct(_fitting(edges, 1 / (1 + np.exp(-odds[rows, columns])), size, rules), most, rules.nested)


def _fitting(
    edges: NDArray[np.float64], probabilities: NDArray[np.float64], size: tuple[int, int], rules: DetectorRules
) -> list[Region]:
    """The boxes [K, 4] that the rules allow, in whole pixels."""
    width, height = size
    found = []
    for edge, probability in zip(edges.round().astype(int).tolist(), probabilities.tolist(), strict=True):
        box = Box(*edge)
        w, h = box.right - box.left, box.bottom - box.top
        large = w >= max(1, rules.least * width) and h >= max(1, rules.least * height)
        if large and box.area <= rules.most * width * height and max(w, h) <= rules.ratio * min(w, h):
            found.append(Region(box, probability))
    return found
