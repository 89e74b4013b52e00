"""Where keypoints lie: extrema of differences of blurred pictures, the first half of ``sift_reference``."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .grey import Grey

Float32 = NDArray[np.float32]

LAYERS = 3
BORDER = 5
SIGMA = 1.6
GIVEN_SIGMA = 1.0
LEAST_RESPONSE = 255.0 * 0.01 / LAYERS
EDGE = 10.0
STEPS = 5

Octave = tuple[list[Float32], list[Float32]]
"""Six pictures, blurred more and more, and the five differences of neighbours."""


@dataclass(frozen=True, slots=True)
class Extremum:
    """Place in pixels and scale in layers of its octave; ``layer`` is the picture nearest to that scale."""

    octave: int
    layer: int
    x: float
    y: float
    scale: float
    response: float

    @property
    def sigma(self) -> float:
        return SIGMA * math.exp2(self.scale / LAYERS)


def scale_space(grey: Grey) -> list[Octave]:
    """The picture at twice its size, and every octave at half the size of the one before."""
    picture = blurred(enlarged(grey), math.sqrt(SIGMA**2 - GIVEN_SIGMA**2))
    octaves: list[Octave] = []
    while min(picture.shape) > 2 * BORDER:
        pictures = [picture]
        for i in range(1, LAYERS + 3):
            before, after = (SIGMA * math.exp2(j / LAYERS) for j in (i - 1, i))
            pictures.append(blurred(pictures[-1], math.sqrt(after**2 - before**2)))
        octaves.append((pictures, [b - a for a, b in pairwise(pictures)]))
        height, width = picture.shape
        picture = pictures[LAYERS][: height // 2 * 2 : 2, : width // 2 * 2 : 2]
    return octaves


def enlarged(grey: Grey) -> Float32:
    """Twice the size, linearly; exact, since a sixteenth of a grey level is a power of two."""
    values = grey.astype(np.float32)
    for axis in (0, 1):
        padded = np.pad(values, [(1, 1) if i == axis else (0, 0) for i in (0, 1)], "edge")
        size = values.shape[axis]
        before, after = padded.take(range(size), axis), padded.take(range(2, size + 2), axis)
        pair = np.stack([3 * values + before, 3 * values + after], axis=axis + 1)
        shape = [2 * s if i == axis else s for i, s in enumerate(values.shape)]
        values = (pair.reshape(shape) / 4).astype(np.float32)
    return values


def blurred(picture: Float32, sigma: float) -> Float32:
    """By a Gaussian of three standard deviations, down and then across, mirrored at the borders."""
    radius = math.ceil(3.0 * sigma)
    raw = [math.exp(-t * t / (2.0 * sigma * sigma)) for t in range(radius + 1)]
    total = 0.0
    for t, value in enumerate(raw):
        total += (2.0 if t else 1.0) * value
    weights = [np.float32(value / total) for value in raw]
    for axis in (0, 1):
        padded = np.pad(picture, [(radius, radius) if i == axis else (0, 0) for i in (0, 1)], "reflect")
        size = picture.shape[axis]
        at = [padded.take(range(start, start + size), axis) for start in range(2 * radius + 1)]
        picture = weights[0] * at[radius]
        for t in range(1, radius + 1):
            picture = picture + weights[t] * (at[radius - t] + at[radius + t])
    return picture


def find_extrema(octaves: list[Octave]) -> list[Extremum]:
    """The strongest first; two that come to the same place count once."""
    found: set[Extremum] = set()
    for number, (_, differences) in enumerate(octaves):
        stack = np.stack(differences)
        inner = stack[1:-1, BORDER:-BORDER, BORDER:-BORDER]
        height, width = stack.shape[1:]
        around = np.stack(
            [
                stack[s : s + LAYERS, BORDER + y : height - BORDER + y, BORDER + x : width - BORDER + x]
                for s in range(3)
                for y in (-1, 0, 1)
                for x in (-1, 0, 1)
            ]
        )
        threshold = np.float32(0.5 * LEAST_RESPONSE)
        extreme = (inner > threshold) & (inner >= around.max(axis=0))
        extreme |= (inner < -threshold) & (inner <= around.min(axis=0))
        for layer, row, column in np.argwhere(extreme).tolist():
            place = refined(stack, number, layer + 1, row + BORDER, column + BORDER)
            found |= set() if place is None else {place}
    return sorted(found, key=lambda e: (-e.response, e.octave, e.scale, e.y, e.x))


def refined(stack: Float32, number: int, layer: int, row: int, column: int) -> Extremum | None:
    """The extremum of the parabola around a place, followed from pixel to pixel; None for weak ones and for edges."""
    height, width = stack.shape[1:]
    for _ in range(STEPS):
        near = stack[layer - 1 : layer + 2, row - 1 : row + 2, column - 1 : column + 2].astype(np.float64).tolist()
        value, gradient, second = derivatives(near)
        step = stationary(gradient, second)
        if step is None:
            return None
        x, y, s = step
        if max(abs(x), abs(y), abs(s)) < 0.5:
            response = abs(value + 0.5 * (gradient[0] * x + gradient[1] * y + gradient[2] * s))
            xx, yy, _, xy, _, _ = second
            trace, area = xx + yy, xx * yy - xy * xy
            edge = area <= 0.0 or trace * trace * EDGE >= (EDGE + 1.0) * (EDGE + 1.0) * area
            if response < LEAST_RESPONSE or edge:
                return None
            return Extremum(number, layer, column + x, row + y, layer + s, response)
        if max(abs(x), abs(y), abs(s)) > 1e6:
            return None
        column, row, layer = column + round(x), row + round(y), layer + round(s)
        if not (1 <= layer <= LAYERS and BORDER <= column < width - BORDER and BORDER <= row < height - BORDER):
            return None
    return None


def derivatives(near: list[list[list[float]]]) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """Numbers [3, 3, 3] around a place, by scale, row and column -> value; x, y, s; xx, yy, ss, xy, xs, ys."""
    (_, (_, b, _), _), (_, (_, d, _), _) = near[0], near[2]
    (p, q, r), (t, v, w), (i, j, k) = near[1]
    under, over = near[0], near[2]
    second = (
        w + t - 2.0 * v,
        j + q - 2.0 * v,
        d + b - 2.0 * v,
        0.25 * (k - i - r + p),
        0.25 * (over[1][2] - over[1][0] - under[1][2] + under[1][0]),
        0.25 * (over[2][1] - over[0][1] - under[2][1] + under[0][1]),
    )
    return v, (0.5 * (w - t), 0.5 * (j - q), 0.5 * (d - b)), second


def stationary(gradient: tuple[float, ...], second: tuple[float, ...]) -> tuple[float, float, float] | None:
    """Where the parabola is flat, by Cramer's rule."""
    x, y, s = gradient
    xx, yy, ss, xy, xs, ys = second
    a, b, c = yy * ss - ys * ys, xy * ss - ys * xs, xy * ys - yy * xs
    whole = xx * a - xy * b + xs * c
    if whole == 0.0:
        return None
    p, q, r = y * ss - ys * s, y * ys - yy * s, xy * s - y * xs
    return (
        -(x * a - xy * p + xs * q) / whole,
        -(xx * p - x * b + xs * r) / whole,
        -(-xx * q - xy * r + x * c) / whole,
    )
