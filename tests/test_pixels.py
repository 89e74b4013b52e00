"""Pixels made smaller by the native core: to the bits of its plain definition, and of OpenCV's area averaging."""

import ctypes
from mmap import PAGESIZE, mmap

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from copytrace.engine._pixels import instruction_sets, shrink
from copytrace.engine.read import stretch

Pixels = NDArray[np.uint8]
LIBC = ctypes.CDLL(None)


def shares(old: int, new: int) -> list[tuple[int, int, np.float32]]:
    """(new pixel, old pixel, share of it) in the order in which they are added."""
    found, scale = [], 1.0 / (new / old)
    for i in range(new):
        left = i * scale
        right, cell = left + scale, min(scale, old - left)
        last = min(int(np.floor(right)), old - 1)
        whole = min(int(np.ceil(left)), last)
        if whole - left > 1e-3:
            found.append((i, whole - 1, np.float32((whole - left) / cell)))
        found += [(i, j, np.float32(1.0 / cell)) for j in range(whole, last)]
        if right - last > 1e-3:
            found.append((i, last, np.float32(min(right - last, 1.0, cell) / cell)))
    return found


def shrink_by_definition(pixels: Pixels, height: int, width: int) -> Pixels:
    """uint8 [H, W, 3] -> [height, width, 3]: along the row, then over rows, in float32, rounded half to even."""
    rows = np.zeros((len(pixels), width, 3), np.float32)
    for x, old, share in shares(pixels.shape[1], width):
        rows[:, x] += pixels[:, old].astype(np.float32) * share
    sums = np.zeros((height, width, 3), np.float32)
    for y, old, share in shares(len(pixels), height):
        sums[y] += rows[old] * share
    return np.minimum(np.rint(sums), 255).astype(np.uint8)


def picture(height: int, width: int, seed: int, *, hard: bool) -> Pixels:
    """Noise; hard: black and white alone, whose means lie where rounding decides."""
    rng = np.random.default_rng(seed)
    return np.asarray(
        rng.integers(0, 2, (height, width, 3)) * 255 if hard else rng.integers(0, 256, (height, width, 3)), np.uint8
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60), st.integers(1, 60), st.integers(0, 300), st.integers(0, 300), st.integers(0, 99), st.booleans()
)
def test_shrinking_is_its_definition(height: int, width: int, taller: int, wider: int, seed: int, hard: bool) -> None:
    pixels = picture(height + taller, width + wider, seed, hard=hard)
    found, defined = shrink(pixels, height, width), shrink_by_definition(pixels, height, width)
    for instructions in instruction_sets():
        np.testing.assert_array_equal(shrink(pixels, height, width, instructions=instructions), defined)
    if pixels.shape[0] % height or pixels.shape[1] % width:
        opencv = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        assert (
            np.abs(found.astype(int) - opencv.reshape(found.shape)).max() <= 1
        )  # other processors' OpenCV may round otherwise


@pytest.mark.parametrize(
    "size", [(864, 1152), (449, 600), (296, 395), (513, 449), (224, 1000), (448, 448), (448, 672), (1344, 449)]
)
@pytest.mark.parametrize("side", [128, 224])
def test_stretching_averages_as_opencv_does(size: tuple[int, int], side: int) -> None:
    pixels, averaged = picture(*size, 1, hard=False), cv2.INTER_AREA
    found = stretch(pixels, side)
    if min(size) >= 2 * side:
        np.testing.assert_array_equal(found, cv2.resize(pixels, (side, side), interpolation=averaged))
    elif size[1] >= 2 * side:
        narrow = cv2.resize(pixels, (side, size[0]), interpolation=averaged)
        np.testing.assert_array_equal(found, cv2.resize(narrow, (side, side), interpolation=cv2.INTER_LINEAR))
    np.testing.assert_array_equal(stretch(pixels[:, ::-1], side), stretch(pixels[:, ::-1].copy(), side))


@pytest.mark.parametrize("instructions", instruction_sets())
def test_a_picture_at_the_end_of_memory_is_read_no_further(instructions: str) -> None:
    wide = picture(40, 40, 3, hard=False)
    memory = mmap(-1, -(-wide.nbytes // PAGESIZE) * PAGESIZE + PAGESIZE)
    pages = np.frombuffer(memory, np.uint8)
    end = len(pages) - PAGESIZE
    assert LIBC.mprotect(ctypes.c_void_p(pages.ctypes.data + end), PAGESIZE, 0) == 0  # whoever reads there is killed
    last = pages[end - wide.nbytes : end].reshape(wide.shape)
    last[:] = wide
    for height, width in ((1, 1), (7, 39), (39, 7), (40, 40)):
        found = shrink(last, height, width, instructions=instructions)
        np.testing.assert_array_equal(found, shrink_by_definition(wide, height, width))


def test_instruction_sets_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="instruction set 'mmx' is not available"):
        shrink(picture(4, 4, 0, hard=False), 2, 2, instructions="mmx")


@pytest.mark.parametrize(
    ("pixels", "height", "width"),
    [
        (np.zeros((4, 4, 3), np.float32), 2, 2),
        (np.zeros((4, 4), np.uint8), 2, 2),
        (np.zeros((4, 4, 4), np.uint8), 2, 2),
        (np.zeros((4, 8, 3), np.uint8)[:, ::2], 2, 2),
        (np.zeros((4, 4, 3), np.uint8), 5, 2),
        (np.zeros((4, 4, 3), np.uint8), 2, 5),
        (np.zeros((4, 4, 3), np.uint8), 0, 2),
        (np.zeros((0, 4, 3), np.uint8), 0, 2),
    ],
)
def test_what_cannot_be_shrunk(pixels: Pixels, height: int, width: int) -> None:
    with pytest.raises(ValueError, match="pixels"):
        shrink(pixels, height, width)
