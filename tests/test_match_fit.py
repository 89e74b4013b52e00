"""The constants of matching: the misfit of matches, penalties of views, and the fit on attacked photographs."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine import Engine, GroundTruth
from copytrace.engine.match.features import LocalFeatures, extract
from copytrace.engine.match.grey import Frame
from copytrace.engine.match.misfit import misfit
from copytrace.engine.match.probability import RELATED, SAME, PairFeatures, PairModel, sigmoid
from copytrace.engine.match.variants import Variant
from copytrace.engine.match.verification import NONE, Verification
from copytrace.engine.match.verify import verify
from copytrace.engine.match.views import TURNS, WHOLE_VIEW
from copytrace.engine.pictures import Picture
from copytrace.engine.read import open_source
from copytrace.engine.references import References
from copytrace.train.bundles.match_model import calibration_error, recalibrated
from copytrace.train.bundles.matching import Trial, fit_constants
from copytrace.train.bundles.matching_queries import scene_queries, training_queries
from copytrace.train.bundles.view_penalties import GRID, best_penalties

from conftest import PHOTOS

FRAME = Frame(200, 150, 200, 150)


def features(places: list[tuple[float, float]]) -> LocalFeatures:
    points = np.array([(64 * x, 64 * y, 4000, 0) for x, y in places], np.uint16)
    return LocalFeatures(np.zeros((len(places), 128), np.uint8), points, FRAME)


@pytest.mark.parametrize(("scale", "unit"), [(1.0, 1.0), (0.5, 1.0), (4.0, 4.0)])
def test_misfit_is_in_pixels_of_the_coarser_picture_and_free_of_smooth_maps(scale: float, unit: float) -> None:
    rng = np.random.default_rng(0)
    places = [(float(x), float(y)) for x, y in rng.uniform(20, 100, (200, 2))]
    affine = np.array([[scale, 0.0, 50.0], [0.0, scale, 70.0]])
    bent = [(scale * (x + (y - 60) ** 2 / 400) + 50, scale * (y + (x - 60) * (y - 60) / 500) + 70) for x, y in places]
    off = rng.normal(0, 1.5, (200, 2))
    moved = [(x + a, y + b) for (x, y), (a, b) in zip(bent, off.tolist(), strict=True)]
    rows = np.arange(200, dtype=np.int32)
    found = Verification(200, Variant.AS_IS, 200, rows, rows, affine, 5.0)
    assert misfit(features(bent), features(places), found) < 0.05
    expected = float(np.median(np.linalg.norm(off, axis=1))) / unit
    assert misfit(features(moved), features(places), found) == pytest.approx(expected, rel=0.08)
    assert misfit(features(moved), features(places), NONE) == 0.0


def test_views_that_help_wrong_references_alone_carry_a_penalty() -> None:
    """References have one axis each; a query's whole view lies near its own, and turned views near any."""
    rng = np.random.default_rng(1)
    rows = np.eye(40, dtype=np.float32)
    ids = [f"R{i}" for i in range(40)]
    near_all = np.full((360, 40), 0.16, np.float32)  # crops that are as near to every query as to their own
    references = References(ids, rows, [(9, 9)] * 40, crops=near_all)
    pictures = []
    for i in range(160):
        views = rng.normal(0, 0.2, (4, 40))
        views[0, i % 40] += 0.8 if i % 2 == 0 else 0.0
        views = (views / np.linalg.norm(views, axis=1, keepdims=True)).astype(np.float32)
        pictures.append(Picture(f"Q{i}", (9, 9), (WHOLE_VIEW, *TURNS), views))
    truth = GroundTruth.of((f"Q{i}", ids[i % 40] if i % 2 == 0 else "") for i in range(160))
    found = best_penalties(pictures, references, truth)
    assert found["whole"] == 0.0 and found["turn"] == found["crop"] == max(GRID)
    helped = [replace(p, descriptors=np.concatenate([p.descriptors[1:], p.descriptors[:1]])) for p in pictures]
    assert best_penalties(helped, references, truth)["turn"] < max(GRID)  # now the last turn finds them
    references.crops = np.repeat(rows, 9, axis=0)
    references.descriptors = near_all[:40]
    found = best_penalties(pictures, references, truth)
    assert found["crop"] < max(GRID)  # now the crops do


def test_recalibration_orders_pairs_as_before_and_finds_their_odds() -> None:
    rng = np.random.default_rng(3)
    pairs = [PairFeatures(float(c), 0, 0, 0.0, 0.0, 0.0, 0.0, 5) for c in rng.uniform(-1, 1, 8000)]
    related, same = (0.5, 2.0, *[0.0] * (len(RELATED) - 2)), (0.0,) * len(SAME)
    model = PairModel(related, same)
    labels = rng.random(8000) < sigmoid(1.0 + 1.5 * model.logits(pairs))
    found = PairModel(recalibrated(related, pairs, labels), same)
    assert np.abs(np.array(found.related[:2]) - [1.0 + 1.5 * 0.5, 1.5 * 2.0]).max() < 0.15
    assert calibration_error(found.predict(pairs), labels) < 0.015 < calibration_error(model.predict(pairs), labels)
    assert (np.argsort(found.logits(pairs)) == np.argsort(model.logits(pairs))).all()


def test_copies_fit_a_smooth_map_in_perspective_too() -> None:
    pixels = cv2.imread(str(sorted((PHOTOS / "references").glob("*.jpg"))[4]), cv2.IMREAD_COLOR_RGB)
    height, width = pixels.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = cv2.getPerspectiveTransform(corners, corners + np.array([[9, 4], [-5, 8], [-12, -3], [6, -9]], np.float32))
    reference = extract(pixels, 200)

    def off(query: NDArray[np.uint8]) -> float:
        local = extract(query)
        found = verify(local, reference)
        assert found.inliers >= 15
        return misfit(local, reference, found)

    copies = [off(cv2.warpPerspective(pixels, seen, (width, height))), off(np.ascontiguousarray(pixels[20:, 30:]))]
    assert max(copies) < 0.35


def nearer_parts_moved(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """What a photograph shows from a step aside: every second strip, as if it were nearer, has moved against the others."""
    moved, edges = pixels.copy(), np.linspace(0, pixels.shape[1], 7).astype(int)
    for left, right in list(pairwise(edges.tolist()))[::2]:
        by = int(rng.integers(2, 6)), int(rng.integers(3, 9))
        moved[:, left:right] = np.roll(pixels, by, (0, 1))[:, left:right]
    return moved


def test_constants_fitted_on_photographs_tell_copies_from_chance_and_from_other_shots(tmp_path: Path) -> None:
    paths = sorted((PHOTOS / "references").glob("*.jpg"))
    for name, part in (("references", paths[:24]), ("others", paths[24:40])):
        (tmp_path / f"{name}.txt").write_text("".join(f"{path}\n" for path in part))
    (tmp_path / "scenes").mkdir()
    rng = np.random.default_rng(6)
    for path in paths[40:46]:
        pixels = cv2.imread(str(path))
        for name, shot in (("a", pixels), ("b", nearer_parts_moved(pixels, rng))):
            cv2.imwrite(str(tmp_path / "scenes" / f"{path.stem}-{name}.png"), shot)
    references, others, scenes = (open_source(tmp_path / name) for name in ("references.txt", "others.txt", "scenes"))
    queries, shots = list(training_queries(references, others, 45, 0)), list(scene_queries(scenes, others, 0))
    assert len({query.id for query in queries}) == len(queries) == 15 + 15 + 7
    assert sum(query.reference != "" for query in queries) == 8 + 8 + 7
    assert len({query.id for query in shots}) == len(shots) == 12 + 24 + 12 + 12
    engine = Engine(threads=1)
    trials = [Trial.of(source, made, engine) for source, made in ((references, queries), (scenes, shots))]
    constants, error = fit_constants(*trials, engine)
    copy, shot = PairFeatures(0.5, 60, 70, 40.0, 0.95, 0.9, 0.2, 5), PairFeatures(0.1, 25, 60, 30.0, 0.6, 0.7, 0.9, 5)
    assert constants.verify.predict([copy])[0] > 0.9 and 0.0 <= error < 0.2
    assert constants.verify.predict([shot])[0] < 0.5
    assert constants.verify.predict([PairFeatures(-0.2, 0, 3, 0.0, 0.0, 0.0, 0.0, 5)])[0] < 0.1
