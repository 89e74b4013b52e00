"""Verification of pairs: the native core against the numpy definition on every instruction set, and both against truth."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from copytrace.engine import _match
from copytrace.engine.match import keypoints, reference, variants
from copytrace.engine.match.features import LocalFeatures, extract
from copytrace.engine.match.grey import Frame
from copytrace.engine.match.variants import Variant
from copytrace.engine.match.verification import DEFAULT_RULES, Rules, Verification
from copytrace.engine.match.verify import Verifier, verify

from conftest import PHOTOS

ISAS = _match.instruction_sets()
FRAME = Frame(200, 150, 200, 150)
SIZES = [
    (0, 0),
    (0, 5),
    (5, 0),
    (1, 1),
    (2, 1),
    (1, 2),
    (2, 2),
    (3, 3),
    (7, 17),
    (17, 7),
    (33, 31),
    (64, 48),
    (255, 127),
    (300, 200),
]


def random_features(rng: np.random.Generator, count: int, highest: int = 256) -> LocalFeatures:
    points = np.stack(
        [rng.integers(0, 200 * 64, count), rng.integers(0, 150 * 64, count), rng.integers(2000, 14000, count)]
    )
    points = np.concatenate([points, rng.integers(0, 65536, (1, count))]).T
    rows = rng.integers(0, highest, (count, 128)).astype(np.uint8)
    return LocalFeatures(rows, np.ascontiguousarray(points.astype(np.uint16)), FRAME)


def copy_of(
    rng: np.random.Generator, features: LocalFeatures, count: int, variant: Variant, noise: float = 20.0
) -> LocalFeatures:
    """A query with ``count`` features of the reference turned, scaled and moved, in the given variant, and noise on all."""
    chosen = rng.integers(0, len(features), count)
    rows = variants.descriptors(features.descriptors[chosen], variant)
    x, y, size, angle = keypoints.unpack(features.keypoints[chosen]).T
    turn, scale = rng.uniform(0, 360), rng.uniform(0.5, 1.2)
    c, s = scale * np.cos(np.radians(turn)), scale * np.sin(np.radians(turn))
    u, v = 300 + c * x - s * y + rng.normal(0, 1, count), 300 + s * x + c * y + rng.normal(0, 1, count)
    angle = angle + turn
    if variant.mirrored:
        u, angle = 700 - u, 180 - angle
    if variant.inverted:
        angle = angle + 180
    points = keypoints.pack(u, v, size * scale * rng.uniform(0.9, 1.1, count), angle + rng.normal(0, 5, count))
    noisy = np.clip(rows + rng.normal(0, noise, rows.shape), 0, 255).astype(np.uint8)
    return LocalFeatures(noisy, points, Frame(700, 700, 1400, 1400))


def assert_same(found: Verification, expected: Verification) -> None:
    assert (found.inliers, found.variant, found.matches) == (expected.inliers, expected.variant, expected.matches)
    np.testing.assert_array_equal(found.query_rows, expected.query_rows)
    np.testing.assert_array_equal(found.reference_rows, expected.reference_rows)
    np.testing.assert_array_equal(found.affine, expected.affine)  # to the last bit
    assert found.spread == expected.spread


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("rows", "references"), SIZES)
def test_strangers(isa: str, rows: int, references: int) -> None:
    rng = np.random.default_rng(rows)
    query, other = random_features(rng, rows), random_features(rng, references)
    assert_same(Verifier(query, isa=isa).verify(other), reference.verify(query, other))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("variant", list(Variant))
@pytest.mark.parametrize(("rows", "references"), [size for size in SIZES if min(size) > 1])
def test_copies(isa: str, variant: Variant, rows: int, references: int) -> None:
    rng = np.random.default_rng([rows, references, variant])
    original = random_features(rng, references)
    query = copy_of(rng, original, rows, variant)
    expected = reference.verify(query, original)
    assert_same(Verifier(query, isa=isa).verify(original), expected)
    if min(rows, references) > 30:
        assert expected.variant is variant and expected.inliers > 0.5 * min(rows, references)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rows", [2, 3, 20, 100])
def test_ties_and_repeats(isa: str, rows: int) -> None:
    """Few different descriptors, places on a coarse grid: everything ties with something."""
    for seed in range(12):
        rng = np.random.default_rng([rows, seed])
        kinds = random_features(rng, 1 + seed % 5)
        pick, other = rng.integers(0, len(kinds), rows), rng.integers(0, len(kinds), 2 * rows)
        points = (rng.integers(0, 4, (3 * rows, 4)) * (640, 640, 2048, 16384)).astype(np.uint16)
        query = LocalFeatures(kinds.descriptors[pick], points[:rows], FRAME)
        target = LocalFeatures(kinds.descriptors[other], np.ascontiguousarray(points[rows:]), FRAME)
        for rules in (DEFAULT_RULES, Rules(ratio=1.0), Rules(turns=0.5, octaves=16, place=1000)):
            assert_same(
                Verifier(query, rules=rules, isa=isa).verify(target), reference.verify(query, target, rules=rules)
            )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("value", [0, 1, 127, 128, 255])
def test_all_equal_descriptors_match_nothing(isa: str, value: int) -> None:
    rng = np.random.default_rng(value)
    flat = LocalFeatures(np.full((40, 128), value, np.uint8), random_features(rng, 40).keypoints, FRAME)
    found = Verifier(flat, isa=isa).verify(flat)
    assert found.inliers == found.matches == 0
    assert_same(found, reference.verify(flat, flat))


@pytest.mark.parametrize("isa", ISAS)
def test_the_largest_distances_are_exact(isa: str) -> None:
    rows = np.zeros((6, 128), np.uint8)
    rows[::2] = 255
    rows[np.arange(6), np.arange(6)] ^= 255
    points = random_features(np.random.default_rng(1), 6).keypoints
    black_and_white = LocalFeatures(rows, points, FRAME)
    assert reference.squared_distances(rows, rows).max() == 126 * 255 * 255
    assert_same(
        Verifier(black_and_white, rules=Rules(ratio=1.0), isa=isa).verify(black_and_white),
        reference.verify(black_and_white, black_and_white, rules=Rules(ratio=1.0)),
    )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("place", ["line", "slanted", "point", "two points"])
def test_places_in_line_are_found_without_a_fit(isa: str, place: str) -> None:
    rng = np.random.default_rng(5)
    steps = np.arange(30)
    x, y = {
        "line": (steps * 5.0, steps * 0 + 40.0),
        "slanted": (steps * 4.0, steps * 3.0),
        "point": (steps * 0 + 40.0, steps * 0 + 40.0),
        "two points": (40.0 + 50 * (steps % 2), steps * 0 + 40.0),
    }[place]
    points = keypoints.pack(x, y, np.full(30, 8.0), np.full(30, 10.0))
    features = LocalFeatures(rng.integers(0, 256, (30, 128)).astype(np.uint8), points, FRAME)
    found = Verifier(features, isa=isa).verify(features)
    assert_same(found, reference.verify(features, features))
    if place in ("line", "slanted"):
        assert found.inliers == 30 and found.spread == 0.0
        np.testing.assert_array_equal(found.affine, [[1, 0, 0], [0, 1, 0]])
    else:
        assert found.inliers == 0  # matches at one or two places prove nothing


@pytest.mark.parametrize("isa", ISAS)
def test_the_ratio_also_holds_against_other_pictures(isa: str) -> None:
    rng = np.random.default_rng(6)
    original = random_features(rng, 60)
    query = copy_of(rng, original, 80, Variant.MIRRORED)
    alone = Verifier(query, isa=isa)
    nearest = reference.squared_distances(
        variants.descriptors(query.descriptors, Variant.MIRRORED), original.descriptors
    )
    others = np.full((4, 80), 1 << 24, np.int32)
    assert_same(alone.verify(original, others=others), reference.verify(query, original))
    others[Variant.MIRRORED, :40] = nearest.min(axis=1)[:40]  # as near to another picture: no evidence
    found = alone.verify(original, others=others)
    assert_same(found, reference.verify(query, original, others=others))
    assert found.inliers > 10 and (found.query_rows >= 40).all()


def test_one_reference_feature_needs_other_pictures() -> None:
    rng = np.random.default_rng(7)
    original = random_features(rng, 1)
    query = LocalFeatures(original.descriptors.copy(), original.keypoints.copy(), FRAME)
    pairs = reference.nearest_pairs(query.descriptors, original.descriptors, None, 0.85)
    assert len(pairs) == 0
    far = np.full(1, 1 << 20, np.int32)
    assert reference.nearest_pairs(query.descriptors, original.descriptors, far, 0.85).tolist() == [[0, 0]]


def test_nearest_pairs_against_brute_force() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rows, others = rng.integers(0, 3, (9, 128)).astype(np.uint8), rng.integers(0, 3, (8, 128)).astype(np.uint8)
        rows[: seed % 5], others[: seed % 4] = rows[0], rows[0]
        distance = lambda i, j, a=rows, b=others: int(((a[i].astype(int) - b[j]) ** 2).sum())  # noqa: E731
        expected, taken = [], set()
        for i in range(9):
            order = sorted(range(8), key=lambda j, i=i: (distance(i, j), j))
            j, second = order[0], distance(i, order[1])
            rivals = min(distance(k, j) for k in range(9))
            if distance(i, j) == rivals and distance(i, j) < 0.95**2 * second and j not in taken:
                expected.append([i, j])
                taken.add(j)
        assert reference.nearest_pairs(rows, others, None, 0.95).tolist() == expected


def photograph(number: int = 0) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(sorted((PHOTOS / "references").glob("*.jpg"))[number])), cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize("variant", list(Variant))
@pytest.mark.parametrize("degrees", [0, 90, 33])
def test_the_map_leads_from_the_reference_to_the_edited_picture(variant: Variant, degrees: int) -> None:
    pixels = photograph()
    height, width = pixels.shape[:2]
    side = int(1.3 * max(width, height))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 0.8)
    matrix[:, 2] += side / 2 - np.array([width / 2, height / 2])
    if variant.mirrored:
        matrix[0] = [0, 0, side - 1] - matrix[0]
    edited = cv2.warpAffine(pixels, matrix, (side, side), borderValue=(90, 90, 90))
    query = extract(255 - edited if variant.inverted else edited)
    original = extract(pixels, 200)
    found = verify(query, original)
    assert found.variant is variant and found.inliers > 12
    corners = np.array(list(itertools.product([0.2, 0.8], repeat=2))) * (original.frame.width, original.frame.height)
    mapped = query.frame.to_original(corners @ found.affine[:, :2].T + found.affine[:, 2])
    true = original.frame.to_original(corners) @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(mapped - true).max() < 0.015 * side
    assert 10 < found.spread < 150


def test_different_photographs_do_not_match() -> None:
    features = [extract(photograph(number)) for number in range(12)]
    found = [verify(a, b.strongest(200)).inliers for a, b in itertools.permutations(features, 2)]
    assert max(found) <= 8 and np.mean(found) < 3  # some lie on the same carpet


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_many_at_once_are_the_single_ones(threads: int) -> None:
    rng = np.random.default_rng(9)
    references = [random_features(rng, int(rng.integers(0, 90))) for _ in range(23)]
    query = copy_of(rng, references[0] if len(references[0]) else random_features(rng, 50), 70, Variant.AS_IS)
    verifier = Verifier(query)
    for found, one in zip(verifier.verify_many(references, threads=threads), references, strict=True):
        assert_same(found, verifier.verify(one))
    with ThreadPoolExecutor(4) as workers:
        for found, one in zip(workers.map(verifier.verify, references), references, strict=True):
            assert_same(found, verifier.verify(one))
    assert verifier.verify_many([], threads=threads) == []


def test_the_order_of_the_references_features_matters_only_to_ties() -> None:
    rng = np.random.default_rng(10)
    original = random_features(rng, 120)
    query = copy_of(rng, original, 150, Variant.INVERTED)
    order = rng.permutation(120)
    mixed = LocalFeatures(original.descriptors[order], original.keypoints[order], FRAME)
    first, second = verify(query, original), verify(query, mixed)
    assert first.inliers == second.inliers and (order[second.reference_rows] == first.reference_rows).all()


def test_a_fit_that_stretches_too_much_is_refused() -> None:
    rng = np.random.default_rng(11)
    original = random_features(rng, 100)
    points = original.keypoints.copy()
    points[:, 3] = 0
    original = LocalFeatures(original.descriptors, points, FRAME)
    squeezed = points.copy()
    squeezed[:, 0] = points[:, 0] // 2
    query = LocalFeatures(original.descriptors.copy(), squeezed, FRAME)
    wide = Rules(place=30.0, stretch=3.0)
    assert verify(query, original, rules=wide).affine[0, 0] == pytest.approx(0.5, abs=0.02)
    assert verify(query, original, rules=Rules(place=30.0, stretch=1.2)).affine[0, 0] == pytest.approx(1.0, abs=0.1)


def test_wrong_arguments_are_refused() -> None:
    features = random_features(np.random.default_rng(0), 5)
    verifier = Verifier(features)
    with pytest.raises(ValueError, match="instruction set 'sse9'"):
        Verifier(features, isa="sse9")
    for others in (
        np.zeros((4, 4), np.int32),
        np.zeros((4, 5), np.int64),
        np.zeros((5, 4), np.int32).T,
        np.zeros(20, np.int32),
    ):
        with pytest.raises(ValueError, match="others must"):
            verifier.verify(features, others=others)
    with pytest.raises(ValueError, match="threads"):
        verifier.verify_many([features], threads=0)
    for wrong in ({"ratio": 0.0}, {"ratio": 1.01}, {"place": -1.0}, {"cell": np.nan}, {"stretch": 0.5}, {"turns": 0.6}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Rules(**wrong)
    raw = _match.Query(features.descriptors, features.keypoints, np.tile(np.arange(128, dtype=np.uint8), (4, 1)))
    rules = _match.Rules(ratio=0.85, place=5, octaves=0.7, turns=0.08, stretch=3, cell=3)
    rows, points = features.descriptors, features.keypoints
    for pair in ((rows[:, :64], points), (rows, points[:3]), (rows.astype(int), points)):
        with pytest.raises(ValueError, match="reference must"):
            raw.verify_many([pair], rules=rules)
    with pytest.raises(ValueError, match="bins"):
        _match.Query(features.descriptors, features.keypoints, np.full((4, 128), 200, np.uint8))
