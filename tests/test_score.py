"""The metric against its definition, calibration, tables and the report."""

import contextlib
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copytrace.engine import (
    Found,
    MissingExtraError,
    ScoreError,
    calibrate,
    evaluate,
    read_pairs,
    read_truth,
    save_pairs,
    score_pairs,
)
from copytrace.engine.score import GroundTruth, ScoredPairs, rank_pairs, read_labels, write_pairs
from copytrace.engine.score.plots import precision_recall_png, score_histogram_png
from copytrace.engine.search import Pairs

ROWS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 5)), unique_by=lambda row: row[:2], max_size=40
)


def plain(
    rows: list[tuple[str, str, float]], truth: GroundTruth, drop: bool, cap: bool
) -> tuple[float, float, float | None]:
    """The metric as its text says it, row by row."""
    if drop:
        rows = [row for row in rows if row[0] in truth.queries]
    rows = sorted(rows, key=lambda row: (-row[2], row[:2] in truth.positives))
    if cap:
        rows = rows[: 10 * len(truth.queries)]
    ap = recall_before = best = 0.0
    threshold = None
    right = 0
    for number, (query, reference, score) in enumerate(rows, 1):
        right += (query, reference) in truth.positives
        recall, precision = right / len(truth.positives), right / number
        ap += (recall - recall_before) * precision
        recall_before = recall
        if precision >= 0.9 and recall > best:
            best, threshold = recall, score
    return ap, best, threshold


LABELS = st.dictionaries(st.integers(0, 4), st.lists(st.integers(0, 4), max_size=2, unique=True), min_size=1)


@given(ROWS, LABELS, st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_metric_is_its_definition(
    rows: list[tuple[int, int, int]], labels: dict[int, list[int]], drop: bool, cap: bool
) -> None:
    truth = GroundTruth.of([(f"q{q}", name) for q, refs in labels.items() for name in [f"r{r}" for r in refs] or [""]])
    named = [(f"q{q}", f"r{r}", float(s)) for q, r, s in rows]
    pairs = ScoredPairs(
        [row[0] for row in named], [row[1] for row in named], np.array([row[2] for row in named], float)
    )
    if not truth.positives:
        with pytest.raises(ScoreError, match="no copy"):
            evaluate(pairs, truth)
        return
    found = evaluate(pairs, truth, drop_unlabelled=drop, cap=cap)
    ap, recall, threshold = plain(named, truth, drop, cap)
    assert found.micro_ap == pytest.approx(ap, abs=1e-12) and found.recall_at_p90 == pytest.approx(recall)
    assert found.threshold_at_p90 == threshold and found.queries == len(truth.queries)


def table(*rows: tuple[str, str, float]) -> ScoredPairs:
    return ScoredPairs([r[0] for r in rows], [r[1] for r in rows], np.array([r[2] for r in rows], float))


TRUTH = GroundTruth.of([("a", "x"), ("b", "y"), ("c", ""), ("d", "")])


def test_ties_put_the_wrong_pairs_first() -> None:
    assert evaluate(table(("a", "x", 1.0), ("c", "x", 1.0)), TRUTH).micro_ap == 0.25
    assert evaluate(table(("a", "x", 2.0), ("c", "x", 1.0)), TRUTH).micro_ap == 0.5


def test_positives_never_returned_stay_in_the_denominator() -> None:
    assert evaluate(table(("a", "x", 1.0)), TRUTH).micro_ap == 0.5
    empty = evaluate(table(), TRUTH)
    assert (empty.micro_ap, empty.recall_at_p90, empty.threshold_at_p90, empty.pairs_used) == (0.0, 0.0, None, 0)


def test_the_cap_counts_labelled_queries_only() -> None:
    truth = GroundTruth.of([("a", "x")])
    rows = [("a", f"r{i}", 100.0 - i) for i in range(30)] + [("other", "x", 1000.0), ("a", "x", 0.5)]
    assert evaluate(table(*rows), truth).pairs_used == 10
    assert evaluate(table(*rows), truth, cap=False).pairs_used == 31
    assert evaluate(table(*rows), truth, cap=False, drop_unlabelled=False).pairs_used == 32


def test_tables_refuse_nan_and_duplicates(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="NaN"):
        table(("a", "x", float("nan")))
    with pytest.raises(ScoreError, match="a, x occurs twice"):
        table(("a", "x", 1.0), ("a", "x", 2.0))
    with pytest.raises(ScoreError, match="twice"):
        GroundTruth.of([("a", "x"), ("a", "x")])
    for name, text, word in (
        ("nan", "query_id,reference_id,score\na,x,nan\n", "NaN"),
        ("word", "query_id,reference_id,score\na,x,high\n", r"line 2.*'high'"),
        ("columns", "a,x\n", "line 1: 2 columns"),
        ("twice", "a,x,1\na,x,2\n", "twice"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ScoreError, match=word):
            read_pairs(tmp_path / name)
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    for path in (tmp_path / "missing", tmp_path / "binary"):
        with pytest.raises(ScoreError, match=path.name):
            read_pairs(path)
        with pytest.raises(ScoreError, match=path.name):
            read_truth(path)
    (tmp_path / "truth").write_text("query_id,reference_id\na,x\na,x\n")
    with pytest.raises(ScoreError, match=r"truth: .* twice"):
        read_truth(tmp_path / "truth")
    (tmp_path / "truth").write_text("query_id,reference_id\n,x\n")
    with pytest.raises(ScoreError, match="line 2"):
        read_truth(tmp_path / "truth")


def test_pairs_come_back_from_their_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = -rng.random(5)
    queries, references = ["a b", "c,d", 'e"f', "ü", "g"], ["1", "2", "3", "4", "5"]
    write_pairs(tmp_path / "p.csv", queries, references, scores)
    pairs = read_pairs(tmp_path / "p.csv")
    assert list(pairs.queries) == queries and list(pairs.references) == references and (pairs.scores == scores).all()


@pytest.mark.parametrize(
    "text", ["a\tx\t1\nb\ty\t0.5\n", "a,x,1\nb,y,0.5", "\ufeffquery_id,reference_id,score\r\na,x,1\r\nb,y,.5\r\n"]
)
def test_dialects_of_pairs(tmp_path: Path, text: str) -> None:
    (tmp_path / "p").write_text(text, newline="")
    assert len(read_pairs(tmp_path / "p")) == 2


def sample() -> tuple[ScoredPairs, GroundTruth]:
    rng = np.random.default_rng(3)
    copies = 200
    rows = [(f"q{i}", f"r{i}", float(rng.normal(2, 1))) for i in range(copies)]
    rows += [(f"q{i}", "other", float(rng.normal(0, 1))) for i in range(2 * copies)]
    return table(*rows), GroundTruth.of([(f"q{i}", f"r{i}" if i < copies else "") for i in range(2 * copies)])


def test_calibration_keeps_the_wanted_precision() -> None:
    pairs, truth = sample()
    found = calibrate(pairs, truth, precision=0.95)
    taken = pairs.scores >= found.threshold
    right = np.array([pair in truth.positives for pair in zip(pairs.queries, pairs.references, strict=True)])
    assert found.precision == right[taken].mean() >= 0.95 and found.recall == right[taken].sum() / 200
    assert found.threshold_low <= found.threshold <= found.threshold_high and found.matches == taken.sum()
    lower = pairs.scores[pairs.scores < found.threshold]
    assert all(right[pairs.scores >= score].mean() < 0.95 for score in lower)
    assert calibrate(pairs, truth, precision=0.95) == found


def test_calibration_keeps_the_wanted_false_matches() -> None:
    pairs, truth = sample()
    found = calibrate(pairs, truth, false_matches_per_query=0.01)
    taken = pairs.scores >= found.threshold
    wrong = [pair not in truth.positives for pair in zip(pairs.queries, pairs.references, strict=True)]
    assert found.false_matches_per_query == np.array(wrong)[taken].sum() / 400 <= 0.01


def test_the_interval_holds_what_it_promises() -> None:
    """The threshold of a far larger sample lies in nearly all intervals from small ones."""
    rng = np.random.default_rng(0)

    def draw(copies: int) -> tuple[ScoredPairs, GroundTruth]:
        rows = [(f"q{i}", f"r{i}", float(rng.normal(2, 1))) for i in range(copies)]
        rows += [(f"q{i}", "other", float(rng.normal(0, 1))) for i in range(2 * copies)]
        return table(*rows), GroundTruth.of([(f"q{i}", f"r{i}" if i < copies else "") for i in range(2 * copies)])

    truth_value = calibrate(*draw(50_000), false_matches_per_query=0.05).threshold
    hits = 0
    for _ in range(60):
        found = calibrate(*draw(300), false_matches_per_query=0.05)
        hits += found.threshold_low <= truth_value <= found.threshold_high
    assert hits >= 51  # 57 expected of 60; 51 is three standard deviations below


def test_calibration_that_cannot_be() -> None:
    pairs = table(("c", "x", 2.0), ("a", "x", 1.0))
    with pytest.raises(ScoreError, match="no threshold"):
        calibrate(pairs, TRUTH, precision=0.9)
    for arguments in ({}, {"precision": 2.0}, {"false_matches_per_query": -1.0}, {"precision": 0.5, "confidence": 1.0}):
        with pytest.raises(ValueError):
            calibrate(pairs, TRUTH, **arguments)


def test_classes_are_scored_by_themselves(tmp_path: Path) -> None:
    (tmp_path / "edits.csv").write_text("query_id,class_name\na,crop\nb,blur\nc,crop\nd,\n")
    labels = read_labels(tmp_path / "edits.csv", "class_name")
    scored = score_pairs(table(("c", "x", 2.0), ("a", "x", 1.0), ("b", "y", 1.0)), TRUTH, labels=labels)
    assert {name: part.micro_ap for name, part in scored.classes.items()} == {"blur": 1.0, "crop": 0.5}
    assert scored.evaluation.micro_ap == evaluate(scored.pairs, TRUTH).micro_ap
    for text in ("query_id,kind\na,b\n", ""):
        (tmp_path / "edits.csv").write_text(text)
        with pytest.raises(ScoreError, match="class_name"):
            read_labels(tmp_path / "edits.csv", "class_name")


def test_plots_of_nothing() -> None:
    ranking = rank_pairs(table(), TRUTH)
    for png in (precision_recall_png(ranking, evaluate(table(), TRUTH)), score_histogram_png(ranking)):
        assert png.startswith(b"\x89PNG")


def test_pairs_and_truth_of_different_images_are_warned_of() -> None:
    for pairs, word in (
        (table(("a.jpg", "x", 1.0)), r"no query.*'a' there, 'a.jpg' here"),
        (table(("a", "x.jpg", 1.0)), r"no reference.*'x' there, 'x.jpg' here"),
        (table(("x", "a", 1.0)), "swapped"),
        (table(), "no pairs"),
    ):
        for call in (score_pairs, lambda pairs, truth: calibrate(pairs, truth, false_matches_per_query=9)):
            with pytest.warns(UserWarning, match=word), contextlib.suppress(ScoreError):
                call(pairs, TRUTH)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score_pairs(table(("a", "y", 1.0)), TRUTH)


def test_calibrate_takes_what_search_gives(tmp_path: Path) -> None:
    pairs = Pairs(np.array([0, 1, 2]), np.array([0, 1, 0]), np.array([1.0, 2.0, 3.0]))
    found = Found(pairs, ["a", "b", "c"], ["x", "y"])
    (tmp_path / "truth.csv").write_text("query_id,reference_id\na,x\nb,y\nc,\nd,\n")
    save_pairs(found, tmp_path / "pairs.csv")
    expected = calibrate(found, TRUTH, precision=0.95)
    assert (expected.threshold, expected.recall, expected.matches) == (-2.0, 1.0, 2)
    for given_pairs in (found.scored(), tmp_path / "pairs.csv", str(tmp_path / "pairs.csv")):
        assert calibrate(given_pairs, tmp_path / "truth.csv", precision=0.95) == expected
    assert calibrate(found, TRUTH, false_matches_per_query=0.25).threshold == -3.0
    assert score_pairs(found, TRUTH).evaluation == score_pairs(tmp_path / "pairs.csv", TRUTH).evaluation


def test_found_is_a_sequence_of_named_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = Pairs(np.array([1, 0]), np.array([0, 0]), np.array([0.25, 2.0]))
    found = Found(pairs, ["a", "b"], ["x"])
    rows = [("b", "x", -0.25), ("a", "x", -2.0)]
    assert len(found) == 2 and list(found) == rows and list(found) == rows
    frame = found.to_pandas()
    assert list(frame.columns) == ["query_id", "reference_id", "score"] and frame["score"].dtype == np.float64
    assert list(frame.itertuples(index=False, name=None)) == rows
    empty = Found(Pairs.join([]), [], [])
    assert len(empty) == 0 and list(empty) == [] and len(empty.to_pandas()) == 0
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"copytrace\[pandas\]"):
        found.to_pandas()
