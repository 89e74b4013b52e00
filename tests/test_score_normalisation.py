"""Scores normalised by the bank: search with a bundle against brute force, by call and by command line, and the refusals."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from copytrace.engine import Bundle, BundleError, ComparisonError, Engine, SearchError, search
from copytrace.engine.describe import normalise_scores, reference
from copytrace.engine.search import nearest_pairs, pairs_within, top_pairs
from copytrace.engine.store import write_descriptors
from copytrace.export.bundle import write_bundle

from bundle_files import edit, small_bundle, small_parts

CONSTANTS = {"alpha": 0.7, "n": 5}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("normalised")
    parts = small_parts(folder / "parts", {"a": (32, 12)})
    write_bundle(replace(parts, score_normalisation=CONSTANTS), folder / "bundle")
    return Bundle(folder / "bundle")


def rows_of(kind: str, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.integers(-1, 2, (count, 8)) if kind == "ties" else np.round(64 * rng.standard_normal((count, 8))) / 64
    return (rows * (2.0**-20 if kind == "tiny" else 1.0)).astype(np.float32)  # squares that float64 adds up exactly


def expected_pairs(q: np.ndarray, r: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, ...]:
    """All pairs by brute force, best first, ties by ids: queries, references, distances with offsets and without."""
    plain = ((q[:, None].astype(np.float64) - r[None]) ** 2).sum(2)
    moved = plain + offsets[:, None]
    i, j = np.unravel_index(np.arange(moved.size), moved.shape)
    order = np.lexsort((j, i, moved.ravel()))
    return i[order], j[order], moved.ravel()[order], plain.ravel()[order]


@pytest.mark.parametrize("kind", ["random", "ties", "tiny"])
@pytest.mark.parametrize("strength", [1.0, 1e4])
def test_searches_with_offsets_equal_brute_force(kind: str, strength: float) -> None:
    """Also where an offset is so much larger than the distances that adding it rounds them to ties."""
    q, r = rows_of(kind, 41, 1), rows_of(kind, 230, 2)
    offsets = -strength * np.random.default_rng(3).random(41)
    offsets[:20] = offsets[0]  # queries that only their distances, and then their ids, tell apart
    ranks = {"query_ranks": np.arange(41), "reference_ranks": np.arange(230), "offsets": offsets}
    i, j, moved, plain = expected_pairs(q, r, offsets)
    for k in (1, 7, 500, 10_000):
        for query_rows, reference_rows in ((4096, 4096), (5, 7)):
            found = top_pairs(q, r, k, query_rows=query_rows, reference_rows=reference_rows, **ranks)
            assert (found.queries == i[:k]).all() and (found.references == j[:k]).all()
            assert (found.distances == moved[:k]).all()
    found = pairs_within(q, r, float(np.sqrt(np.median(plain))), **ranks)
    near = plain <= np.sqrt(np.median(plain)) ** 2
    assert (found.queries == i[near]).all() and (found.references == j[near]).all()
    found = nearest_pairs(q, r, 3, **ranks)
    unmoved = nearest_pairs(q, r, 3, query_ranks=np.arange(41), reference_ranks=np.arange(230))
    assert set(zip(found.queries, found.references, strict=True)) == set(
        zip(unmoved.queries, unmoved.references, strict=True)
    )
    assert (np.lexsort((found.references, found.queries, found.distances)) == np.arange(123)).all()


def test_a_sampled_limit_knows_the_offsets() -> None:
    rng = np.random.default_rng(0)
    q, r = (rng.standard_normal((count, 8)).astype(np.float32) for count in (600, 9000))
    offsets = -50.0 * rng.random(600)
    found = top_pairs(
        q, r, 5000, query_ranks=np.arange(600), reference_ranks=np.arange(9000), offsets=offsets, query_rows=128
    )
    moved = np.concatenate([((row.astype(np.float64) - r) ** 2).sum(1) for row in q]) + np.repeat(offsets, 9000)
    assert (found.queries * 9000 + found.references == np.argsort(moved, kind="stable")[:5000]).all()


@pytest.mark.parametrize("how", [{"top": 30}, {"k": 2}, {"max_distance": 2.5}])
def test_search_normalises_scores_as_the_definition_does(bundle: Bundle, how: dict[str, float]) -> None:
    q, r = rows_of("random", 20, 4), rows_of("random", 60, 5)
    found = search(q, r, bundle=bundle, **how)
    background = reference.background_scores(q, bundle.bank, CONSTANTS["n"])
    squares = ((q[found.pairs.queries].astype(np.float64) - r[found.pairs.references]) ** 2).sum(1)
    expected = normalise_scores(-squares, found.pairs.queries, background, CONSTANTS["alpha"])
    np.testing.assert_allclose(found.pairs.scores, expected, rtol=1e-12)
    assert (np.diff(found.pairs.scores) <= 0).all() and len(found) == len(search(q, r, **how))
    if "top" in how:
        everything = expected_pairs(q, r, CONSTANTS["alpha"] * background)
        assert (found.pairs.queries == everything[0][:30]).all()
        assert list(found) != list(search(q, r, **how))
    assert found.origin["scores"] == "normalised (alpha 0.7, n 5)"


def test_search_with_a_bundle_without_constants_changes_nothing(tmp_path: Path) -> None:
    q, r = rows_of("random", 5, 4), rows_of("random", 9, 5)
    found = search(q, r, bundle=small_bundle(tmp_path / "plain"))
    assert list(found) == list(search(q, r)) and found.origin == {}


def test_what_does_not_belong_to_the_bundle_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    rows = rows_of("random", 4, 1)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)
    paths = []
    for number, picture in enumerate(pixels):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(picture).save(paths[-1])
    other = small_bundle(tmp_path / "other", {"b": (32, 10)})
    Engine(bundle.path).embed_source(paths, tmp_path / "q.h5", role="query")
    Engine(bundle.path).embed_source(paths, tmp_path / "raw.h5", output="raw")
    assert len(search(tmp_path / "q.h5", rows, bundle=bundle, k=1)) == 3
    for queries, references, given, error, words in (
        (tmp_path / "q.h5", rows, other, ComparisonError, "different networks or projections"),
        (tmp_path / "raw.h5", tmp_path / "raw.h5", bundle, ComparisonError, "not comparable"),
        (rows[:, :5].copy(), rows[:, :5].copy(), bundle, SearchError, "dimensions differ"),
        (rows * np.nan, rows, bundle, SearchError, "NaN"),
        (rows, rows, tmp_path / "none", BundleError, "not a bundle"),
        (rows, rows, 3, TypeError, "bundle must be a path"),
    ):
        with pytest.raises(error, match=words):
            search(queries, references, bundle=given)


def test_the_verb_says_what_it_did(tmp_path: Path, bundle: Bundle) -> None:
    rows = rows_of("random", 6, 1)
    write_descriptors(tmp_path / "r.h5", [([f"r{i}" for i in range(6)], rows)], (6, 8), [], {})
    arguments = ["search", tmp_path / "r.h5", tmp_path / "r.h5", "-o", tmp_path / "p.csv", "--json"]
    command = [sys.executable, "-c", "from copytrace.engine.cli.main import main; main()", *arguments]
    done = subprocess.run([*map(str, command), "--bundle", str(bundle.path)], capture_output=True, text=True)
    assert json.loads(done.stdout)["score_normalisation"] == CONSTANTS, done.stderr
    written = (tmp_path / "p.csv").read_text().splitlines()[1:]
    found = search(tmp_path / "r.h5", tmp_path / "r.h5", bundle=bundle)
    assert [line.split(",")[:2] for line in written] == [[a, b] for a, b, _ in found]


@pytest.mark.parametrize(
    "wrong", [{"alpha": -1.0, "n": 5}, {"alpha": 1.0, "n": 0}, {"alpha": 1.0}, {"alpha": "1", "n": 2}]
)
def test_constants_that_are_none_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = small_bundle(tmp_path / "bundle")
    edit(path, {"score_normalisation": wrong})
    with pytest.raises(BundleError, match="score_normalisation"):
        Bundle(path)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_tuning_finds_constants_only_where_they_help() -> None:
    """Distractors that lie close to everything, the bank too, outscore copies that lie far from all but their reference."""
    pytest.importorskip("torch")
    from copytrace.engine import GroundTruth
    from copytrace.engine.describe import Projection, open_describer
    from copytrace.train.bundles.finish import tune_scores
    from copytrace.train.data.validation import ValidationSet

    rng = np.random.default_rng(0)
    centre = unit(np.ones((1, 16)))
    references, bank = (unit(centre + 0.25 * rng.standard_normal((count, 16))) for count in (60, 200))
    copies = unit(references[:20] + 0.8 * unit(rng.standard_normal((20, 16))))
    distractors = unit(centre + 0.05 * rng.standard_normal((20, 16)))
    queries = np.concatenate([copies, distractors])
    ids = [f"r{i}" for i in range(60)], [f"q{i}" for i in range(40)]
    truth = GroundTruth.of([(f"q{i}", f"r{i}" if i < 20 else "") for i in range(40)])
    validation = ValidationSet(*ids, iter, iter, truth)
    eye = Projection(np.zeros(16, np.float32), np.eye(16, dtype=np.float32), np.ones(16, np.float32))
    describer = open_describer(eye, bank)
    before = validation.score(queries, references).micro_ap
    constants, micro_ap = tune_scores(describer, validation, queries, references)
    assert constants is not None and micro_ap > before + 0.05, (constants, micro_ap, before)
    pairs = validation.pairs(queries, references)
    offsets = constants["alpha"] * describer.background_scores(queries, constants["n"])
    assert validation.score_pairs(pairs.moved(offsets)).micro_ap == micro_ap
    assert tune_scores(describer, validation, np.concatenate([references[:20], distractors]), references) == (None, 1.0)
