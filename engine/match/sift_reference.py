"""SIFT as the native core computes it, written plainly in numpy: the definition of correct, some thousand times slower.

D. Lowe, "Distinctive image features from scale-invariant keypoints", 2004. Two things differ from his program and OpenCV's.
A keypoint's gradients are taken at 16 x 16 places of a patch laid over it, at its own scale and angle, instead of at all
pixels; and a place is not a quarter of a pixel off, as OpenCV's are. All sums are added up in the order that stands here.
"""

import math

import numpy as np
from numpy.typing import NDArray

from .grey import Grey
from .sift_extrema_reference import Extremum, Float32, find_extrema, scale_space

GRID = 16
BINS = 36
PEAK = 0.8
DIRECTION_EXTENT = 9.0
DESCRIPTOR_EXTENT = 15.0
ARC = (0.15915132, -0.052938566, 0.030802904, -0.018529838, 0.008379071, -0.0018651518)
"""The polynomial, of odd powers, for the arc tangent of 0 to 1 in turns."""


def extract_sift(grey: Grey, most: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """A small grey picture uint8 [h, w], 12 pixels at least -> keypoints float64 [F, 4] (x, y, size in pixels, angle in
    degrees) and RootSIFT uint8 [F, 128]. The ``most`` strongest, the strongest first.
    """
    octaves = scale_space(grey)
    keypoints: list[tuple[float, float, float, float]] = []
    rows: list[NDArray[np.uint8]] = []
    for place in find_extrema(octaves):
        picture, pixel = octaves[place.octave][0][place.layer], 2.0 ** (place.octave - 1)
        for direction in directions(picture, place)[: most - len(rows)]:
            x, y, size = place.x * pixel - 0.25, place.y * pixel - 0.25, 2.0 * place.sigma * pixel
            keypoints.append((x, y, size, 360.0 * direction))
            rows.append(describe(picture, place, direction))
        if len(rows) >= most:
            break
    return np.array(keypoints, np.float64).reshape(-1, 4), np.array(rows, np.uint8).reshape(-1, 128)


def gradients(
    picture: Float32, place: Extremum, direction: float, extent: float, sigma: float
) -> tuple[Float32, Float32]:
    """Weighted lengths and directions in turns, float32 [16, 16] each, over a patch of side ``extent`` times the keypoint's
    sigma; ``sigma`` of its bell in the same unit.
    """
    step, angle = place.sigma * extent / GRID, 2.0 * math.pi * direction
    across, down = np.float32(step * math.cos(angle)), np.float32(step * math.sin(angle))
    v, u = np.mgrid[: GRID + 1, : GRID + 1].astype(np.float32) - np.float32(GRID / 2)
    x = np.clip(np.float32(place.x) + (across * u - down * v), 0, picture.shape[1] - 1).astype(np.float32)
    y = np.clip(np.float32(place.y) + (down * u + across * v), 0, picture.shape[0] - 1).astype(np.float32)
    column, row = x.astype(np.int32), y.astype(np.int32)
    fx, fy = x - column.astype(np.float32), y - row.astype(np.float32)
    padded = np.pad(picture, ((0, 1), (0, 1)))  # what lies beyond the border is taken times 0
    a, b = padded[row, column], padded[row, column + 1]
    c, d = padded[row + 1, column], padded[row + 1, column + 1]
    upper, lower = a + fx * (b - a), c + fx * (d - c)
    values = upper + fy * (lower - upper)
    falling, rising = values[1:, 1:] - values[:-1, :-1], values[:-1, 1:] - values[1:, :-1]
    gx, gy = falling + rising, falling - rising
    places = (np.arange(GRID) - 7.5) * (extent / GRID)
    far = places[None] ** 2 + places[:, None] ** 2
    bell = np.array([math.exp(-f / (2.0 * sigma * sigma)) for f in far.ravel().tolist()], np.float32)
    return np.sqrt(gx * gx + gy * gy) * bell.reshape(GRID, GRID), turns_of(gx, gy)


def turns_of(x: Float32, y: Float32) -> Float32:
    """The angle of (x, y) in turns, 0 to 1."""
    ax, ay = np.abs(x), np.abs(y)
    r = np.minimum(ax, ay) / np.maximum(np.maximum(ax, ay), np.float32(1e-20))
    s = r * r
    p = np.full_like(r, ARC[-1])
    for coefficient in ARC[-2::-1]:
        p = p * s + np.float32(coefficient)
    p = p * r
    p = np.where(ay > ax, np.float32(0.25) - p, p)
    p = np.where(x < 0, np.float32(0.5) - p, p)
    return np.where(y < 0, np.float32(1) - p, p)


def directions(picture: Float32, place: Extremum) -> list[float]:
    """The angles in turns, ascending, of the peaks in a histogram of gradients that reach 0.8 of the highest."""
    lengths, turns = gradients(picture, place, 0.0, DIRECTION_EXTENT, DIRECTION_EXTENT / 6.0)
    bins = (turns * np.float32(BINS) + np.float32(0.5)).astype(np.int64) % BINS
    raw = np.bincount(bins.ravel(), lengths.ravel().astype(np.float64), BINS)
    left, right, far = np.roll(raw, 1), np.roll(raw, -1), np.roll(raw, 2) + np.roll(raw, -2)
    smooth = 0.0625 * far + 0.25 * (left + right) + 0.375 * raw
    peaks = []
    for i in range(BINS):
        before, at, after = float(smooth[i - 1]), float(smooth[i]), float(smooth[(i + 1) % BINS])
        if at > before and at > after and at >= PEAK * float(smooth.max()):
            place_ = i + 0.5 * (before - after) / (before - 2.0 * at + after)
            peaks.append((place_ + BINS if place_ < 0.0 else place_) / BINS)
    return sorted(peaks)


def describe(picture: Float32, place: Extremum, direction: float) -> NDArray[np.uint8]:
    """RootSIFT uint8 [128]: 4 x 4 cells (down, across) of 8 directions, counted the other way round than angles are."""
    lengths, turns = gradients(picture, place, direction, DESCRIPTOR_EXTENT, 6.0)
    eight = np.arange(8, dtype=np.float32)[:, None, None]
    far = np.abs(turns * np.float32(8) - eight)
    share = np.maximum(np.float32(1) - np.minimum(far, np.float32(8) - far), np.float32(0))
    values = lengths * share  # [8, down, across]
    at = (np.arange(GRID) - 7.5) * (5.0 / GRID) + 1.5
    cells = np.maximum(0.0, 1.0 - np.abs(at[None] - np.arange(4)[:, None])).astype(np.float32)  # exact
    rows = np.zeros((4, 8, GRID), np.float32)
    for y in range(GRID):
        rows += values[None, :, y] * cells[:, y, None, None]
    histogram = np.zeros((4, 4, 8), np.float32)
    for x in range(GRID):
        histogram += rows[:, None, :, x] * cells[None, :, x, None]
    return root(histogram[:, :, -np.arange(8) % 8].ravel())


def root(values: Float32) -> NDArray[np.uint8]:
    """No number above 0.2 of the length; then the root of its share of the sum, times 512."""
    squares = total = np.float32(0)
    for value in values:
        squares += value * value
    clipped = np.minimum(values, np.float32(0.2) * np.sqrt(squares))
    for value in clipped:
        total += value
    if total <= 0:
        return np.zeros(128, np.uint8)
    return np.asarray(np.minimum(np.rint(np.sqrt(clipped / total) * np.float32(512)), 255), np.uint8)
