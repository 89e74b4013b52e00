"""Rectangles with long straight edges: where a photograph may have been pasted, or stands in a collage or a frame.

The picture is reduced, changes of colour from one pixel to the next that are locally strongest are its edges, and the columns
and rows with the longest unbroken edges are lines. Of all rectangles between such lines (or the picture's borders) those are
kept whose four sides are edges along most of their length. Upright rectangles only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Float64 = NDArray[np.float64]

MOST_REGIONS = 3


class Box(NamedTuple):
    """Pixels left <= x < right, top <= y < bottom."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        return (self.right - self.left) * (self.bottom - self.top)

    def overlap(self, other: "Box") -> int:
        """Pixels that both have."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0, width) * max(0, height)


class Region(NamedTuple):
    """A rectangle and how likely it is one, in the measure of who found it: for :func:`find_regions` how well its four sides
    are edges, from 0 to 1.5."""

    box: Box
    strength: float


class RegionFinder(Protocol):
    """A way to find regions."""

    def __call__(self, pixels: Pixels, most: int) -> list[Region]:
        """Up to ``most`` regions of uint8 RGB [H, W, 3], the likeliest first."""
        ...


@dataclass(frozen=True, slots=True)
class RegionRules:
    """The constants of the search, chosen on pasted training photographs.

    side: the longer side of the picture that is looked at. contrast: grey levels of an edge. gap: pixels by which an edge may
    be interrupted. lines: how many are looked at in either direction. length: the least share of the picture's side that a
    line's longest unbroken edge has. least: shortest side of a rectangle as a share of the picture's shorter one.
    most: largest area as a share of the picture's. border: how much of an edge the picture's own border counts for.
    nested: rectangles that have this share of the smaller one in common are one. strength: weaker rectangles are none.
    """

    side: int = 256
    contrast: int = 10
    gap: int = 3
    lines: int = 12
    length: float = 0.12
    least: float = 0.2
    most: float = 0.8
    border: float = 0.55
    nested: float = 0.8
    strength: float = 0.0


DEFAULT_RULES = RegionRules()

_SMALLEST = 24  # pixels; a shorter side has no room for a rectangle
_WIDTH = 3  # a line takes the place of others so many pixels away
_CONSIDERED = 400


def find_regions(pixels: Pixels, most: int = MOST_REGIONS, *, rules: RegionRules = DEFAULT_RULES) -> list[Region]:
    """Up to ``most`` rectangles of uint8 RGB [H, W, 3] or grey [H, W], the likeliest first; none in tiny or blank pictures.

    Raises: ValueError for another shape or type.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ValueError(f"pixels must be uint8 [H, W, 3] or [H, W], not {pixels.dtype} {list(pixels.shape)}")
    height, width = pixels.shape[:2]
    factor = min(1.0, rules.side / max(height, width))
    small = max(1, round(width * factor)), max(1, round(height * factor))
    if min(small) < _SMALLEST:
        return []
    if factor < 1.0:
        pixels = np.asarray(cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), np.uint8)
    across, down = _edges(pixels, rules.contrast)
    columns, rows = _lines(across, rules), _lines(down.T, rules)
    candidates = _rectangles(across, down, columns, rows, rules)
    scale = width / small[0], height / small[1]
    return [
        Region(Box(*(round(edge * scale[i % 2]) for i, edge in enumerate(box))), strength)
        for box, strength in distinct(candidates, most, rules.nested)
    ]


def _edges(pixels: Pixels, contrast: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """bool [h, w] twice: whether an edge runs upright, or level, between this pixel and the one before, or right beside."""
    across, down = np.zeros(pixels.shape[:2], np.uint8), np.zeros(pixels.shape[:2], np.uint8)
    for colour in cv2.split(pixels):
        np.maximum(across[:, 1:], cv2.absdiff(colour[:, 1:], colour[:, :-1]), out=across[:, 1:])
        np.maximum(down[1:], cv2.absdiff(colour[1:], colour[:-1]), out=down[1:])
    return _peaks(across, contrast), _peaks(np.ascontiguousarray(down.T), contrast).T


def _peaks(change: Pixels, contrast: int) -> NDArray[np.bool_]:
    """Where a row of ``change`` has a maximum above ``contrast``, or has one right before."""
    before, after = np.roll(change, 1, axis=1), np.roll(change, -1, axis=1)
    peak = (change > contrast) & (change >= before) & (change >= after)
    return peak | np.roll(peak, 1, axis=1)


def _lines(edges: NDArray[np.bool_], rules: RegionRules) -> NDArray[np.int64]:
    """The columns with the longest unbroken edges, in order, and the picture's two borders."""
    height, width = edges.shape
    lengths = _longest_runs(edges, rules.gap)
    lengths[:4] = lengths[-4:] = 0
    found = {0, width}
    for _ in range(rules.lines):
        best = int(lengths.argmax())
        if lengths[best] < rules.length * height:
            break
        found.add(best)
        lengths[max(0, best - _WIDTH) : best + _WIDTH + 1] = 0
    return np.array(sorted(found))


def _longest_runs(edges: NDArray[np.bool_], gap: int) -> NDArray[np.int64]:
    """The length of the longest run of True in every column, gaps of up to ``gap`` bridged, int64 [w]."""
    kernel = np.ones((gap + 1, 1), np.uint8)
    apart = np.pad(
        edges.astype(np.uint8), ((gap + 1, gap + 1), (0, 0))
    )  # else a short gap at the border were bridged to it
    closed = cv2.morphologyEx(apart, cv2.MORPH_CLOSE, kernel)
    place = np.arange(1, len(closed) + 1, dtype=np.int32)[:, None]
    last_break = np.maximum.accumulate(np.where(closed == 0, place, np.int32(0)), axis=0)
    return np.asarray((place - last_break).max(axis=0), np.int64)


def _rectangles(
    across: NDArray[np.bool_],
    down: NDArray[np.bool_],
    columns: NDArray[np.int64],
    rows: NDArray[np.int64],
    rules: RegionRules,
) -> list[Region]:
    """All rectangles between lines that are large enough and not too large, the strongest first; ties by place."""
    height, width = across.shape
    left, right = _pairs(columns)
    top, bottom = _pairs(rows)
    upright = _shares(across, columns, top, bottom, rules.border)  # [columns, pairs of rows]
    level = _shares(down.T, rows, left, right, rules.border)
    sides = np.stack(
        [
            upright[np.searchsorted(columns, left)],
            upright[np.searchsorted(columns, right)],
            level[np.searchsorted(rows, top)].T,
            level[np.searchsorted(rows, bottom)].T,
        ]
    )
    strength = sides.mean(axis=0) + 0.5 * sides.min(axis=0)
    w, h = (right - left)[:, None], (bottom - top)[None, :]
    least = rules.least * min(height, width)
    fits = (w >= least) & (h >= least) & (w * h <= rules.most * width * height) & (strength >= rules.strength)
    i, j = np.nonzero(fits)
    order = np.argsort(-strength[i, j], kind="stable")[:_CONSIDERED]
    boxes = np.stack([left[i], top[j], right[i], bottom[j]], axis=1)[order]
    return [Region(Box(*b), float(s)) for b, s in zip(boxes.tolist(), strength[i, j][order], strict=True)]


def _pairs(lines: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first, second = np.triu_indices(len(lines), 1)
    return lines[first], lines[second]


def _shares(
    edges: NDArray[np.bool_],
    columns: NDArray[np.int64],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    border: float,
) -> Float64:
    """For every column and every piece start..stop of it the share that is edge; ``border`` for the picture's borders."""
    height, width = edges.shape
    inside = np.minimum(columns, width - 1)
    total = np.zeros((height + 1, len(columns)))
    np.cumsum(edges[:, inside], axis=0, out=total[1:])
    share = ((total[stop] - total[start]) / (stop - start)[:, None]).T
    share[(columns == 0) | (columns == width)] = border
    return np.asarray(share, np.float64)


def distinct(regions: Iterable[Region], most: int, nested: float = DEFAULT_RULES.nested) -> list[Region]:
    """The first ones, leaving out what has more than ``nested`` of the smaller one in common with one before: what is nearly
    the same, inside, or around it."""
    kept: list[Region] = []
    for region in regions:
        if len(kept) == most:
            break
        box = region.box
        if all(box.overlap(k.box) <= nested * min(box.area, k.box.area) for k in kept):
            kept.append(region)
    return kept
