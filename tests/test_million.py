"""The program that runs the challenge's size, on few images: every stage, the kill, and checks that can fail."""

import json
import sys
import tarfile
from pathlib import Path

import pytest

from benchmarks import million
from benchmarks.million_checks import pairs_differ

from conftest import PHOTOS

REFERENCES, QUERIES = 1500, 75  # enough for a run on one thread to be killed after a second, when its journal has grown


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("million")
    with tarfile.open(folder / "photographs.tar", "w") as archive:
        for path in sorted((PHOTOS / "references").glob("*.jpg"))[:30]:
            archive.add(path, path.name)
    options = {"--folder": folder, "--photographs": folder / "photographs.tar", "--record": folder / "record.json"}
    numbers = {"--scale": REFERENCES / million.REFERENCES, "--tars": 1, "--threads": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(million, "KILLED_AT", 0.0)
        patch.setattr(million, "CHECKED_IMAGES", 3)
        patch.setattr(sys, "argv", ["million", *(str(x) for pair in (options | numbers).items() for x in pair)])
        million.main()
    return folder


def test_every_stage_is_recorded_with_time_and_memory(done: Path) -> None:
    told = json.loads((done / "record.json").read_text())
    assert (told["references"], told["queries"]) == (REFERENCES, QUERIES)
    assert all(stage["wall_s"] > 0 and stage["processor_s"] > 0 and stage["peak_mib"] > 20 for stage in told["stages"])
    killed, resumed = told["stages"][:2]
    assert killed["ended"] == "killed" and 0 < resumed["result"]["resumed_at"] < REFERENCES
    assert told["checks"] == {
        "queries_by_brute_force": QUERIES,
        "of_these_differ": 0,
        "images_alone": 3,
        "of_these_rows_differ": 0,
        "resumed_is_byte_identical": True,
    }
    assert "| search |" in (done / "record.md").read_text()


def test_images_are_distinct_and_some_queries_are_copies(done: Path) -> None:
    with tarfile.open(done / "references-00.tar") as archive:
        images = [archive.extractfile(member).read() for member in archive]  # type: ignore[union-attr]
    assert len(set(images)) == REFERENCES
    truth = (done / "truth.csv").read_text().splitlines()[1:]
    assert len(truth) == QUERIES and 0 < sum(not line.endswith(",") for line in truth) < QUERIES


def test_a_missing_pair_and_another_score_are_found(done: Path) -> None:
    run = done / "run"
    header, first, *others = (run / "pairs.csv").read_text().splitlines()
    query, reference, score = first.split(",")
    wrong = {"missing": [], "another": [f"{query},{reference},{float(score) * (1 + 1e-15)!r}"]}
    for name, lines in wrong.items():
        path = done / f"{name}.csv"
        path.write_text("\n".join([header, *lines, *others]) + "\n")
        assert pairs_differ(run / "q.h5", run / "references-00.h5", path, QUERIES) == 1
