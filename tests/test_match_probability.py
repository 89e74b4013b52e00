"""The probability of a pair: fit and calibration on data with known odds, JSON, refusals; and ISC2021's own score."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copytrace.engine import DEFAULT_BUNDLE, MatchError
from copytrace.engine.match import isc2021, variants
from copytrace.engine.match.constants import MatchConstants
from copytrace.engine.match.features import LocalFeatures
from copytrace.engine.match.grey import Frame
from copytrace.engine.match.probability import (
    FEWEST_COMPARED,
    LEAST_SAME,
    RELATED,
    SAME,
    PairFeatures,
    PairModel,
    both,
    compared,
    related_terms,
    same_terms,
    sigmoid,
)
from copytrace.engine.match.variants import Variant
from copytrace.train.bundles.match_model import calibration_error, fit_related, fit_same


def drawn(rng: np.random.Generator, count: int) -> list[PairFeatures]:
    inliers = rng.integers(0, 30, count) * rng.integers(0, 2, count)
    return [
        PairFeatures(
            float(rng.uniform(-0.2, 1)), int(n), int(n + rng.integers(0, 20)), float(rng.uniform(0, 60)) * (n > 0),
            float(rng.random()) * (n > 0), float(rng.random()) * (n > 0), float(rng.uniform(0, 3)) * (n > 0),
            int(rng.integers(1, 100)),
        )
        for n in inliers
    ]  # fmt: skip


TRUE = PairModel((-4.0, 2.0, 0.8, 1.5, -0.5, 1.0, 0.2, 2.0, 0.5, -0.3), (-3.0, 0.5, 2.0, 1.5, 1.0, 3.0, -2.0))


def test_the_fit_finds_the_odds_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    pairs, others = drawn(rng, 30_000), drawn(rng, 20_000)
    x, y = related_terms(pairs), same_terms(pairs)
    related = rng.random(len(pairs)) < sigmoid(x @ np.array(TRUE.related))
    same = rng.random(len(pairs)) < sigmoid(y @ np.array(TRUE.same))
    model = PairModel(
        fit_related(pairs, related, penalty=1e-6), fit_same(pairs, same, np.full(len(pairs), 0.5), penalty=1e-6)
    )
    expected, found = TRUE.predict(others), model.predict(others)
    assert np.abs(found - expected).mean() < 0.012
    truth = rng.random(len(others)) < expected
    assert calibration_error(found, truth) < 0.015
    assert calibration_error(np.minimum(1.0, found * 1.3), truth) > 0.03  # the measure sees what is off


def test_the_probability_is_that_of_both_answers_and_of_the_first_alone_where_too_little_agrees() -> None:
    rng = np.random.default_rng(4)
    pairs = drawn(rng, 500)
    first = sigmoid(related_terms(pairs) @ np.array(TRUE.related))
    second = sigmoid(np.maximum(LEAST_SAME, same_terms(pairs) @ np.array(TRUE.same)))
    expected = [
        p * q if pair.inliers >= FEWEST_COMPARED else p for pair, p, q in zip(pairs, first, second, strict=True)
    ]
    assert 100 < compared(pairs).sum() < 400
    assert np.abs(TRUE.predict(pairs) - expected).max() < 1e-12
    far = np.array([-1e4, -30.0, 0.0, 1e4])
    assert both(far, np.array([5.0, -30.0, 0.0, 1e4])) == pytest.approx([-1e4, -60.0, -np.log(3.0), 1e4 - np.log(2.0)])


def test_a_bent_copy_stands_before_what_agrees_by_chance_however_badly_it_fits() -> None:
    harsh = PairModel(TRUE.related, (-50.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    bent, chance = PairFeatures(0.6, 60, 70, 40.0, 0.5, 0.9, 3.0, 5), PairFeatures(-0.3, 0, 3, 0.0, 0.0, 0.0, 0.0, 5)
    least = sigmoid(np.array([LEAST_SAME]))[0]
    assert 0.9 * least < harsh.predict([bent])[0] <= least
    assert harsh.predict([bent])[0] > 2 * harsh.predict([chance])[0]


def test_counts_are_repetitions() -> None:
    rng = np.random.default_rng(5)
    pairs = drawn(rng, 300)
    labels = rng.random(300) < 0.5
    counts = rng.integers(1, 4, 300)
    again = [pair for pair, n in zip(pairs, counts.tolist(), strict=True) for _ in range(n)]
    # without a penalty, as that goes by the deviations of the rows, whose number differs
    counted = fit_same(pairs, labels, counts.astype(float), penalty=0.0)
    repeated = fit_same(again, np.repeat(labels, counts), np.ones(len(again)), penalty=0.0)
    assert np.abs(np.array(counted) - repeated).max() < 1e-4


def test_calibration_error_by_hand() -> None:
    p, labels = np.array([0.05, 0.15, 0.95, 1.0]), np.array([False, True, True, True])
    assert calibration_error(p, labels) == pytest.approx((0.05 + 0.85 + 0.05) / 4)
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) == 0.0


def test_the_fit_is_where_the_likelihood_is_greatest() -> None:
    rng = np.random.default_rng(1)
    pairs = drawn(rng, 800)
    x = related_terms(pairs)
    labels = rng.random(len(pairs)) < sigmoid(x @ np.array(TRUE.related))
    best = np.array(fit_related(pairs, labels, penalty=0.0))

    def loss(weights: np.ndarray) -> float:
        z = x @ weights
        return float((np.logaddexp(0, z) - labels * z).sum())

    for i in range(len(RELATED)):
        for step in (-1e-3, 1e-3):
            moved = best.copy()
            moved[i] += step
            assert loss(moved) >= loss(best) - 1e-7


def test_separable_pairs_and_constant_terms_have_a_finite_fit() -> None:
    pairs = [PairFeatures(0.5, n, n, 20.0 * (n > 0), 0.8 * (n > 0), 0.5, 0.2 * (n > 0), 10) for n in (0, 0, 40, 50)]
    related = fit_related(pairs, np.array([False, False, True, True]))
    p = sigmoid(related_terms(pairs) @ np.array(related))
    assert related[RELATED.index("chances")] == related[RELATED.index("overlap")] == 0.0
    assert np.isfinite(related).all() and p[:2].max() < 0.2 and p[2:].min() > 0.8
    for labels in (np.zeros(4, bool), np.ones(4, bool), np.array([True])):
        with pytest.raises(ValueError, match="both kinds"):
            fit_related(pairs, labels)


def test_the_model_as_json() -> None:
    assert PairModel.from_json(TRUE.to_json()) == TRUE
    whole = '{"format": 3, "related": {}, "same": {}}'
    for text in ("", "[]", "{}", '{"format": 2, "weights": {}}', whole, '{"format": 3, "related": 1}', "null", "1",
                 TRUE.to_json().replace("2.0", "NaN"), TRUE.to_json().replace("2.0", '"x"'),
                 TRUE.to_json().replace('"misfit"', '"fit"')):  # fmt: skip
        with pytest.raises(MatchError) as error:
            PairModel.from_json(text)
        assert "\n" not in str(error.value)
    for weights in (((1.0,), TRUE.same), (TRUE.related, (1.0,)), (TRUE.related, (*TRUE.same[:-1], np.nan))):
        with pytest.raises(ValueError, match="finite weights"):
            PairModel(*weights)


def constants(change: Callable[[dict[str, Any]], object]) -> str:
    table = json.loads((DEFAULT_BUNDLE / "matching.json").read_text())
    change(table)
    return json.dumps(table)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        constants(lambda t: t.update(format=True)),
        constants(lambda t: t.update(format=1.0)),
        constants(lambda t: t.update(note="mine")),
        constants(lambda t: t.pop("views")),
        constants(lambda t: t["penalties"].update(whole=True)),
        constants(lambda t: t["penalties"].update(turn="0.1")),
        constants(lambda t: t["penalties"].update(turn=-0.1)),
        constants(lambda t: t["penalties"].update(turn=10**400)),
        constants(lambda t: t["penalties"].update(mirror=0.1)),
        constants(lambda t: t["verify"]["related"].update(cosine="2.0")),
        constants(lambda t: t["verify"]["same"].update(constant=1e300)),
        constants(lambda t: t["verify"].update(extra=1)),
        constants(lambda t: None).replace('"whole":', '"whole": 1, "whole":'),
        constants(lambda t: t["penalties"].update(region=float("nan"))),
    ],
    ids=range(15),
)
def test_constants_of_matching_that_are_none(text: str, tmp_path: Path) -> None:
    """Nothing is converted, nothing unknown or given twice is passed over."""
    (tmp_path / "matching.json").write_text(text)
    with pytest.raises(MatchError, match=r"matching.json: not the constants of matching: [^\n]*$"):
        MatchConstants.load(tmp_path / "matching.json")


def test_pair_features_must_be_possible() -> None:
    good = PairFeatures(0.5, 3, 5, 1.0, 0.5, 0.5, 0.3, 7)
    assert related_terms([good]).shape == (1, len(RELATED)) and related_terms([]).shape == (0, len(RELATED))
    assert same_terms([good]).shape == (1, len(SAME)) and same_terms([]).shape == (0, len(SAME))
    for wrong in (
        (np.nan, 3, 5, 1.0, 0.5, 0.5, 0.3, 7),
        (0.5, -1, 5, 1.0, 0.5, 0.5, 0.3, 7),
        (0.5, 3, 5, 1.0, 0.5, 0.5, -0.3, 7),
        (0.5, 3, 5, 1.0, 0.5, 0.5, 0.3, 0),
    ):
        for of in (related_terms, same_terms):
            with pytest.raises(ValueError, match="finite"):
                of([PairFeatures(*wrong)])
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("convention", [isc2021.SQUARED, isc2021.PLAIN])
def test_ratio_matches_against_brute_force(convention: isc2021.Convention) -> None:
    rng = np.random.default_rng(2)
    reference = rng.integers(0, 100, (20, 128)).astype(np.uint8)
    query = np.clip(
        reference[rng.integers(0, 20, 40)] + rng.normal(0, 1, (40, 128)) * rng.uniform(0, 60, (40, 1)), 0, 255
    )
    query = query.astype(np.uint8)
    expected = 0
    for row in query.astype(float):
        distances = np.sort(np.linalg.norm(reference - row, axis=1))
        first, second = distances[:2] ** (2 if convention == "squared" else 1)
        expected += bool(first < second / 1.8)
    found = isc2021.ratio_matches(query, reference, convention)
    assert found == expected and 0 < found < 40
    assert isc2021.ratio_matches(query, reference, isc2021.PLAIN) < isc2021.ratio_matches(query, reference)


def test_the_published_score_takes_the_better_of_query_and_mirrored_query() -> None:
    rng = np.random.default_rng(3)
    rows, points = rng.integers(0, 100, (30, 128)).astype(np.uint8), np.zeros((30, 4), np.uint16)
    reference = LocalFeatures(rows, points, Frame(1, 1, 1, 1))
    scores = [
        isc2021.match_score(LocalFeatures(variants.descriptors(rows, variant), points, reference.frame), reference)
        for variant in Variant
    ]
    assert scores[Variant.AS_IS] == scores[Variant.MIRRORED] == 30 and max(scores[2:]) < 5
    assert isc2021.ratio_matches(rows, rows[:1]) == isc2021.ratio_matches(rows[:0], rows) == 0
    with pytest.raises(ValueError, match="convention"):
        isc2021.ratio_matches(rows, rows, "euclidean")  # type: ignore[arg-type]
