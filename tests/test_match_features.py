"""Local features: keypoints in eight bytes, variants against really edited pictures, odd pictures, one answer always."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from copytrace.engine.match import keypoints, variants
from copytrace.engine.match.features import LocalFeatures, extract
from copytrace.engine.match.grey import Frame, small_grey, small_size
from copytrace.engine.match.variants import Variant

from conftest import PHOTOS

PICTURES = sorted((PHOTOS / "references").glob("*.jpg"))[:4]


def photograph(number: int = 0) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(PICTURES[number])), cv2.COLOR_BGR2RGB)


def edited(pixels: np.ndarray, variant: Variant) -> np.ndarray:
    pixels = pixels[:, ::-1] if variant.mirrored else pixels
    return np.ascontiguousarray(255 - pixels if variant.inverted else pixels)


def test_keypoints_come_back_within_half_a_unit() -> None:
    rng = np.random.default_rng(0)
    x, y, size, angle = (
        rng.uniform(0, 1000, 999),
        rng.uniform(0, 1000, 999),
        rng.uniform(1, 500, 999),
        rng.uniform(0, 360, 999),
    )
    packed = keypoints.pack(x, y, size, angle)
    assert packed.dtype == np.uint16 and packed.shape == (999, 4) and packed.nbytes == 8 * 999
    back = keypoints.unpack(packed)
    assert np.abs(back[:, 0] - x).max() <= 0.5 / 64 and np.abs(back[:, 1] - y).max() <= 0.5 / 64
    assert np.abs(np.log2(back[:, 2] / size)).max() <= 0.5001 / 2048
    assert np.abs((back[:, 3] - angle + 180) % 360 - 180).max() <= 0.5001 * 360 / 65536
    np.testing.assert_array_equal(keypoints.pack(*back.T), packed)


def test_keypoints_beyond_the_limits_are_put_on_them() -> None:
    high = keypoints.pack(*np.array([[1e9], [1e9], [1e30], [719.9999]]))
    low = keypoints.pack(*np.array([[-5.0], [-0.1], [0.01], [-90.0]]))
    assert high.tolist() == [[65535, 65535, 65535, 0]] and low.tolist() == [[0, 0, 0, 49152]]
    for bad in ([np.nan, 1, 1, 1], [1, 1, 0, 1], [1, 1, -1, 1], [1, 1, 1, np.inf]):
        with pytest.raises(ValueError, match="finite"):
            keypoints.pack(*np.array(bad, float)[:, None])


@pytest.mark.parametrize("variant", list(Variant), ids=lambda variant: variant.name.lower())
@pytest.mark.parametrize("number", range(4))
def test_variants_are_those_of_really_edited_pictures(variant: Variant, number: int) -> None:
    pixels = photograph(number)
    features, real = extract(pixels), extract(edited(pixels, variant))
    rows = variants.descriptors(features.descriptors, variant).astype(int)
    points = variants.keypoints(features.keypoints, variant)
    points[:, 0] += 64 * (real.frame.width - 1) if variant.mirrored else 0
    distance = np.linalg.norm(rows[:, None] - real.descriptors.astype(int), axis=2)
    nearest = distance.argmin(axis=1)
    offset = np.abs(points - real.keypoints[nearest])
    offset[:, 3] = np.minimum(offset[:, 3], 65536 - offset[:, 3])
    same = (distance.min(axis=1) < 0.1 * 512) & (offset < (64, 64, 200, 1000)).all(axis=1)
    assert same.mean() > 0.85
    if variant is not Variant.AS_IS:  # without the permutation the descriptors are strangers
        plain = np.linalg.norm(features.descriptors[:, None].astype(int) - real.descriptors, axis=2).min(axis=1)
        assert (plain < 0.1 * 512).mean() < 0.05


@pytest.mark.parametrize("variant", list(Variant))
def test_a_variant_twice_is_the_picture_as_it_is(variant: Variant) -> None:
    order = variants.bins(variant)
    assert sorted(order) == list(range(128)) and (order[order] == np.arange(128)).all()
    features = extract(photograph())
    points = variants.keypoints(features.keypoints, variant)
    if not variant.mirrored:  # mirrored places are negative, which stored ones never are
        np.testing.assert_array_equal(variants.keypoints(points.astype(np.uint16), variant), features.keypoints)


def test_descriptors_have_the_length_512_and_are_the_strongest() -> None:
    features = extract(photograph(), 300)
    lengths = np.linalg.norm(features.descriptors.astype(float), axis=1)
    assert np.abs(lengths - 512).max() < 6 and 100 < len(features) <= 300
    few = extract(photograph(), 50)
    np.testing.assert_array_equal(few.to_rows(), features.strongest(50).to_rows())
    assert len(few) == 50


def test_the_same_picture_gives_the_same_features_always() -> None:
    pictures = [photograph(number) for number in range(4)]
    expected = [extract(pixels).to_rows() for pixels in pictures]
    with ThreadPoolExecutor(4) as workers:
        for number, features in enumerate(workers.map(extract, pictures * 4)):
            np.testing.assert_array_equal(features.to_rows(), expected[number % 4])
    cv2.setNumThreads(3)
    try:
        np.testing.assert_array_equal(extract(pictures[0]).to_rows(), expected[0])
    finally:
        cv2.setNumThreads(1)


def test_views_of_arrays_are_as_good_as_arrays() -> None:
    pixels = photograph()
    for view in (pixels[:, ::-1], pixels[::-1], pixels.transpose(1, 0, 2), pixels[:, :, ::-1], pixels[::2, 3:, 0]):
        np.testing.assert_array_equal(extract(view).to_rows(), extract(view.copy()).to_rows())


def test_equal_responses_are_ordered_by_place() -> None:
    tile = np.random.default_rng(3).integers(0, 255, (50, 50), np.uint8)
    pixels = np.tile(tile, (4, 4))[:150, :200].copy()
    ten, all_ = extract(pixels, 10), extract(pixels, 300)
    np.testing.assert_array_equal(ten.to_rows(), all_.strongest(10).to_rows())


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 1, 3), (2, 3, 3), (5, 4000), (4000, 1, 3), (11, 11), (40, 7000, 3), (3000, 4000, 3)], ids=str
)
def test_odd_sizes_have_an_answer(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    features = extract(pixels)
    frame = features.frame
    assert (frame.original_width, frame.original_height) == (shape[1], shape[0])
    assert max(frame.width, frame.height) <= 1000 and min(frame.width, frame.height) >= 1
    assert len(features) <= 300 and features.descriptors.shape == (len(features), 128)
    back = frame.to_original(keypoints.places(features.keypoints))
    assert (back > -1).all() and (back < np.array([shape[1], shape[0]]) + 1).all()


@pytest.mark.parametrize("value", [0, 127, 255])
def test_a_blank_picture_has_no_features(value: int) -> None:
    features = extract(np.full((200, 300, 3), value, np.uint8))
    assert len(features) == 0 and features.to_rows().shape == (0, 136)


def test_sizes_of_the_small_picture() -> None:
    assert small_size(640, 480) == (200, 150)
    assert small_size(120, 130) == (120, 130)
    assert small_size(50, 80) == (100, 160)
    assert small_size(10_000, 100) == (1000, 10)
    assert small_size(1, 1) == (100, 100)
    grey, frame = small_grey(photograph())
    assert grey.shape == (frame.height, frame.width) == photograph().shape[:2]
    assert small_grey(np.zeros((900, 600), np.uint8))[0].shape == (225, 150)


def test_places_go_back_to_the_original() -> None:
    frame = Frame(100, 50, 400, 200)
    np.testing.assert_allclose(
        frame.to_original(np.array([[-0.5, -0.5], [99.5, 49.5]])), [[-0.5, -0.5], [399.5, 199.5]]
    )


def test_features_pickle_and_are_stored_in_136_bytes() -> None:
    features = extract(photograph())
    rows = features.to_rows()
    assert rows.dtype == np.uint8 and rows.shape == (len(features), 136)
    for copy in (pickle.loads(pickle.dumps(features)), LocalFeatures.from_rows(rows, features.frame)):
        np.testing.assert_array_equal(copy.descriptors, features.descriptors)
        np.testing.assert_array_equal(copy.keypoints, features.keypoints)
        assert copy.frame == features.frame and copy.keypoints.dtype == np.uint16
    assert rows[0, 128:130].view("<u2")[0] == features.keypoints[0, 0]


def test_wrong_arrays_are_refused() -> None:
    frame, rows, points = Frame(1, 1, 1, 1), np.zeros((3, 128), np.uint8), np.zeros((3, 4), np.uint16)
    for descriptors, keys in (
        (rows[:, :64], points),
        (rows.astype(np.float32), points),
        (rows, points[:2]),
        (rows, points.astype(np.int64)),
        (np.zeros((3, 256), np.uint8)[:, ::2], points),
        (np.zeros((4097, 128), np.uint8), np.zeros((4097, 4), np.uint16)),
    ):
        with pytest.raises(ValueError, match=r"must be|more than"):
            LocalFeatures(descriptors, keys, frame)
    for pixels in (
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5), np.float32),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros(5, np.uint8),
    ):
        with pytest.raises(ValueError, match=r"pixels"):
            extract(pixels)
    with pytest.raises(ValueError, match="136"):
        LocalFeatures.from_rows(rows, frame)
    with pytest.raises(ValueError, match="number of features"):
        extract(photograph(), 0)
