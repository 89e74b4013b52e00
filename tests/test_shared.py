"""What needs the photographs and predictions of ../shared/data."""

import csv
from pathlib import Path

import numpy as np
import pytest

from copytrace.engine import (
    Engine,
    Matcher,
    calibrate,
    evaluate,
    read_pairs,
    read_truth,
    save_pairs,
    score_pairs,
    search,
)
from copytrace.engine.cli.match import LIKELY

from conftest import SHARED

pytestmark = pytest.mark.shared


def test_the_metric_reaches_the_oracle() -> None:
    pairs = read_pairs(SHARED / "oracle" / "final_result_demo.txt")
    truth = read_truth(SHARED / "oracle" / "public_ground_truth.csv")
    found = evaluate(pairs, truth)
    assert found.micro_ap == pytest.approx(0.8981144478205396, abs=1e-12)
    assert found.recall_at_p90 == pytest.approx(0.8010418753756762, abs=1e-12)
    assert (found.threshold_at_p90, found.positives, found.pairs_used, found.queries) == (34.0, 4991, 28691, 25000)
    everything = evaluate(pairs, truth, drop_unlabelled=False, cap=False)
    assert everything.micro_ap == pytest.approx(0.4561374320344927, abs=1e-12)
    assert (everything.recall_at_p90, everything.threshold_at_p90, everything.pairs_used) == (0.0, None, 58109)
    assert calibrate(pairs, truth, precision=0.9).threshold == 34.0


def test_the_evaluation_set_is_scored_as_documented(tmp_path: Path) -> None:
    engine = Engine()
    engine.embed_source(SHARED / "eval" / "references", tmp_path / "r.h5")
    engine.embed_source(SHARED / "eval" / "queries", tmp_path / "q.h5", role="query")
    save_pairs(search(tmp_path / "q.h5", tmp_path / "r.h5"), tmp_path / "pairs.csv")
    scored = score_pairs(tmp_path / "pairs.csv", SHARED / "eval" / "ground_truth.csv")
    assert scored.evaluation.micro_ap >= 0.65


def test_real_pairs_are_closer_than_pairs_that_are_none() -> None:
    with (SHARED / "pairs" / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    engine = Engine()

    def cosines(wanted: bool) -> np.ndarray:
        chosen = [row for row in rows if ("NOT A COPY" in row["kind"]) != wanted]
        sides = [engine.embed([SHARED / "pairs" / row[side] for row in chosen]) for side in ("query", "reference")]
        return (sides[0] * sides[1]).sum(axis=1)

    copies, others = cosines(True), cosines(False)
    assert len(copies) == 22 and len(others) == 3
    assert np.median(copies) > others.max()


def test_orientation_tags_are_honoured() -> None:
    folder = SHARED / "pairs" / "exif"
    engine = Engine()
    for number in (3, 6, 8):
        tagged, upright = engine.embed([folder / f"exif-rotn-{number}.jpg", folder / f"upright-{number}.jpg"])
        assert tagged @ upright > 0.95


def test_real_pairs_are_matched_and_other_shots_of_the_scene_are_not(tmp_path: Path) -> None:
    folder = SHARED / "pairs"
    with (folder / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    (tmp_path / "references.txt").write_text(
        "".join(f"{folder / name}\n" for name in {row["reference"] for row in rows})
    )
    queries = sorted({row["query"] for row in rows})
    found = Matcher(tmp_path / "references.txt").match([folder / name for name in queries])
    probability = {
        (query, match.reference_id): match.probability
        for query, matches in zip(queries, found, strict=True)
        for match in matches
    }
    found_as = {
        row["kind"] + row["query"]: probability.get((row["query"], Path(row["reference"]).stem), 0.0) for row in rows
    }
    others = [value for kind, value in found_as.items() if kind.startswith("NOT A COPY")]
    copies = [value for kind, value in found_as.items() if not kind.startswith("NOT A COPY")]
    assert len(copies) == 22 and len(others) == 3
    assert min(copies) > 0.9 and max(others) < LIKELY
