"""SIFT of the native core: its definition in numpy to the last bit on every instruction set, and OpenCV's within bounds."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine import _match
from copytrace.engine.match import keypoints, sift_reference
from copytrace.engine.match.grey import small_grey

from conftest import PHOTOS

PICTURES = sorted((PHOTOS / "references").glob("*.jpg"))[:6]
MOST = 200


def grey(number: int) -> NDArray[np.uint8]:
    return small_grey(cv2.cvtColor(cv2.imread(str(PICTURES[number])), cv2.COLOR_BGR2RGB))[0]


def hard_pictures() -> dict[str, NDArray[np.uint8]]:
    """Sizes that no vector divides, ties, the largest steps there are, one pixel more than nothing."""
    rng = np.random.default_rng(0)
    squares = np.kron(np.indices((5, 7)).sum(axis=0) % 2, np.ones((9, 9))).astype(np.uint8) * 255
    return {
        "photograph": grey(0)[20:91, 30:133],
        "noise": cv2.GaussianBlur(rng.integers(0, 256, (33, 47), np.uint8), (0, 0), 1.0),
        "checks": squares,
        "dots": np.where(rng.random((64, 31)) < 0.02, 255, 0).astype(np.uint8),
        "least": rng.integers(0, 256, (12, 12), np.uint8),
        "band": rng.integers(0, 256, (13, 255), np.uint8),
        "blank": np.full((40, 40), 77, np.uint8),
    }


@pytest.mark.parametrize("name", list(hard_pictures()))
def test_features_are_those_of_the_definition_to_the_last_bit(name: str) -> None:
    picture = np.ascontiguousarray(hard_pictures()[name])
    points, rows = sift_reference.extract_sift(picture, MOST)
    assert name in ("least", "blank") or len(points) > 1
    for isa in _match.instruction_sets():
        found, descriptors = _match.sift(picture, MOST, isa)
        np.testing.assert_array_equal(keypoints.pack(*found.T), keypoints.pack(*points.T), isa)
        np.testing.assert_array_equal(descriptors, rows, isa)


def test_every_instruction_set_gives_the_same_bits_on_photographs() -> None:
    for number in range(len(PICTURES)):
        expected = [part.tobytes() for part in _match.sift(grey(number), 4096, "plain")]
        for isa in _match.instruction_sets():
            assert [part.tobytes() for part in _match.sift(grey(number), 4096, isa)] == expected, isa


def test_opencv_finds_the_same_places_and_describes_them_alike() -> None:
    """Places within half a pixel (OpenCV's are a quarter off), sizes within 15 %, angles within 15 degrees."""
    repeated, distances = [], []
    for number in range(len(PICTURES)):
        picture = grey(number)
        sift = cv2.SIFT.create(nfeatures=MOST, contrastThreshold=0.01)
        theirs, rows = sift.detectAndCompute(picture, None)
        table = np.array([(p.pt[0] - 0.25, p.pt[1] - 0.25, p.size, p.angle) for p in theirs])
        points, descriptors = _match.sift(picture, 2 * MOST)
        share = rows / rows.sum(axis=1, keepdims=True)
        away = np.hypot(*(table[:, None, :2] - points[None, :, :2]).transpose(2, 0, 1))
        same = (away < 0.5) & (np.abs(np.log2(table[:, None, 2] / points[None, :, 2])) < 0.2)
        same &= np.abs((table[:, None, 3] - points[None, :, 3] + 180.0) % 360.0 - 180.0) < 15.0
        distance = np.linalg.norm(np.sqrt(share)[:, None] - descriptors[None] / 512.0, axis=2)
        nearest = np.where(same, distance, np.inf).min(axis=1)
        repeated.append(np.isfinite(nearest).mean())
        distances.append(np.median(nearest[np.isfinite(nearest)]))
    assert np.mean(repeated) > 0.9 and np.mean(distances) < 0.12  # strangers are 0.8 to 1.2 apart


def test_what_was_extracted_before_changes_nothing() -> None:
    """Pictures of other sizes leave other numbers in the memory that is used again."""
    small, expected = grey(1), _match.sift(grey(1), MOST)[1].tobytes()
    for picture in (np.full((300, 300), 255, np.uint8), hard_pictures()["band"], np.zeros((999, 64), np.uint8)):
        _match.sift(np.ascontiguousarray(picture), MOST)
        assert _match.sift(small, MOST)[1].tobytes() == expected


def test_a_mirrored_picture_has_mirrored_places() -> None:
    """No place is off to one side; only the halving of octaves of an even size is not the same from both."""
    picture = grey(2)
    points, mirrored = (_match.sift(np.ascontiguousarray(p), MOST)[0] for p in (picture, picture[:, ::-1]))
    mirrored[:, 0] = picture.shape[1] - 1 - mirrored[:, 0]
    away = np.hypot(*(points[:, None, :2] - mirrored[None, :, :2]).transpose(2, 0, 1)).min(axis=1)
    assert np.mean(away < 1e-6) > 0.6 and np.mean(away < 0.3) > 0.85


def test_wrong_pictures_are_refused() -> None:
    for picture in (
        np.zeros((11, 50), np.uint8),
        np.zeros((50, 11), np.uint8),
        np.zeros((50, 50), np.float32),
        np.zeros((50, 50, 3), np.uint8),
        np.zeros((50, 100), np.uint8)[:, ::2],
        np.zeros((12, 5000), np.uint8),
    ):
        with pytest.raises(ValueError, match="grey must"):
            _match.sift(picture, 10)
    with pytest.raises(ValueError, match="instruction set 'mmx'"):
        _match.sift(np.zeros((50, 50), np.uint8), 10, "mmx")
