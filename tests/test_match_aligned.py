"""The look at aligned pixels: local correlation against brute force, and copies against other pictures."""

import cv2
import numpy as np
import pytest

from copytrace.engine import MatchError
from copytrace.engine.match import aligned
from copytrace.engine.match.aligned import NOTHING, align, local_correlation, thumbnail
from copytrace.engine.match.features import extract_small
from copytrace.engine.match.grey import Frame, small_grey
from copytrace.engine.match.verify import verify

from conftest import PHOTOS

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


def photograph(number: int = 0) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(sorted((PHOTOS / "references").glob("*.jpg"))[number])), cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (17, 15), (40, 31)], ids=str)
def test_local_correlation_is_that_of_every_window(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    a, b = rng.integers(0, 256, (2, *shape)).astype(np.uint8)
    a[:, : shape[1] // 3] = 90  # without texture
    b = np.where(rng.random(shape) < 0.4, 255 - a, b).astype(np.uint8)
    inside = (rng.random(shape) < 0.85).astype(np.uint8)
    correlation, textured, whole = local_correlation(a, b, inside)
    for y in range(shape[0]):
        for x in range(shape[1]):
            window = (slice(max(0, y - 7), y + 8), slice(max(0, x - 7), x + 8))
            keep = inside[window] > 0
            p, q = a[window][keep].astype(float), b[window][keep].astype(float)
            assert whole[y, x] == bool(inside[y, x] and keep.sum() > 0.6 * 225)
            if whole[y, x]:
                assert textured[y, x] == (p.var() > 9 and q.var() > 9)
            expected = abs(np.corrcoef(p, q)[0, 1]) if textured[y, x] else 0.0
            assert correlation[y, x] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_copy_correlates_whatever_its_scale(scale: float, inverted: bool) -> None:
    grey, frame = small_grey(photograph())
    size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
    copy = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    affine = aligned._resizing(grey.shape, copy.shape)[:2]
    found = align(255 - copy if inverted else copy, grey, affine, frame)
    assert found.correlation > 0.93 and found.query_share > 0.95 and found.reference_share > 0.95
    small = align(copy, thumbnail(grey, 80), affine, frame)
    assert small.correlation > 0.9 and small.query_share > 0.95


def test_a_wrong_map_and_another_picture_do_not_correlate() -> None:
    grey, frame = small_grey(photograph())
    other, _ = small_grey(photograph(1))
    moved = IDENTITY + np.array([[0, 0, 15], [0, 0, 9]])
    assert align(grey, grey, IDENTITY, frame).correlation > 0.99
    assert align(grey, grey, moved, frame).correlation < 0.6
    assert align(other, grey, IDENTITY, frame).correlation < 0.6


def test_a_picture_pasted_on_another() -> None:
    original, background = photograph(), cv2.resize(photograph(1), (400, 400))
    background[100:230, 120:200] = cv2.resize(original, (80, 130), interpolation=cv2.INTER_AREA)
    grey, frame = small_grey(background)
    reference, reference_frame = small_grey(original)
    found = verify(extract_small(grey, frame), extract_small(reference, reference_frame, 200))
    seen = align(grey, thumbnail(reference), found.affine, reference_frame)
    assert found.inliers >= 5 and seen.correlation > 0.7
    assert seen.query_share == pytest.approx(80 * 130 / 400**2, rel=0.25) and seen.reference_share > 0.9


def test_maps_that_leave_nothing_to_see() -> None:
    grey, frame = small_grey(photograph())
    for affine in (np.zeros((2, 3)), IDENTITY * 1e-4, IDENTITY * 1e4, IDENTITY * 0.01, IDENTITY * [[1], [0]]):
        assert align(grey, grey, affine, frame) == NOTHING
    away = align(grey, grey, IDENTITY + np.array([[0, 0, 5000], [0, 0, 0]]), frame)
    assert away.correlation == away.query_share == away.reference_share == 0.0
    blank = align(np.full_like(grey, 128), grey, IDENTITY, frame)
    assert blank.correlation == blank.textured == 0.0 and blank.query_share == 1.0
    tiny = np.zeros((1, 1), np.uint8)
    assert align(tiny, tiny, IDENTITY, Frame(1, 1, 1, 1)) == NOTHING


def test_thumbnails() -> None:
    grey = np.zeros((150, 320), np.uint8)
    assert thumbnail(grey).shape == (80, 171) and thumbnail(grey, 64).shape == (64, 137)
    assert thumbnail(grey[:90], 100).shape == (90, 320)
    assert thumbnail(np.zeros((1, 1000), np.uint8), 64).shape == (1, 1000)


def test_thumbnails_are_stored_as_small_jpegs() -> None:
    grey, frame = small_grey(photograph())
    small = thumbnail(grey)
    data = aligned.to_jpeg(small)
    assert len(data) < 0.6 * small.size
    back = aligned.from_jpeg(data)
    assert back.shape == small.shape and np.abs(back.astype(int) - small).mean() < 4
    raw, stored = align(grey, small, IDENTITY, frame), align(grey, back, IDENTITY, frame)
    assert stored.correlation == pytest.approx(raw.correlation, abs=0.03)
    for damaged in (b"", b"no picture", data[:20]):
        with pytest.raises(MatchError, match="damaged"):
            aligned.from_jpeg(damaged)
