"""``calibrate --from`` and ``collection thresholds``: a collection's thresholds from what people have decided."""

import json
from pathlib import Path

import numpy as np
import pytest

from copytrace.engine import Collection, CollectionError, ScoreError, calibrate_collection
from copytrace.engine.collection import NewReview, Reviews, StoredThresholds, Thresholds

from in_process import run


def decided(path: Path, accepted: list[float], rejected: list[float]) -> Path:
    """A collection with decisions on pairs of these probabilities."""
    Collection.create(path, 4).close()
    with Collection.open(path, write=True) as collection:
        collection.add(["a"], np.zeros((1, 4), np.float32))
    with Reviews(path) as reviews:
        for i, probability in enumerate([*accepted, *rejected]):
            reviews.add([NewReview(f"{i:064x}", "q", "a", probability, 0.0, {}, b"", np.zeros(4, np.float32))], 1000)
            (review,) = reviews.page()
            reviews.decide(review.number, "accept" if i < len(accepted) else "reject", "the test", 1000)
    return path


def spread(low: float, high: float, count: int) -> list[float]:
    return [float(value) for value in np.linspace(low, high, count)]


def test_thresholds_part_what_was_accepted_from_what_was_rejected(tmp_path: Path) -> None:
    accepted, rejected = spread(0.7, 0.89, 30), spread(0.5, 0.65, 20)
    path = decided(tmp_path / "refs.ct", accepted, rejected)
    with Collection.open(path, write=True):  # as a service that runs holds it
        found = calibrate_collection(path)
    assert found.before == Thresholds() and (found.accepted, found.rejected) == (30, 20)
    assert 0.65 < found.after.review == accepted[0] <= found.after.match < 0.8
    assert found.precision == 1.0 and found.missed == 0
    with StoredThresholds(path) as stored, Collection.open(path) as collection:
        assert stored.current() == found.after
        entry = collection.audit()[-1]
        assert (entry.who, entry.action, entry.what["match"]) == ("calibrate", "thresholds", found.after.match)


def test_a_wanted_precision_moves_the_match_threshold(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0.5, 0.9, 400)
    right = rng.random(400) < (values - 0.4) * 2  # rightly a probability from 0.2 to 1
    path = decided(tmp_path / "refs.ct", values[right].tolist(), values[~right].tolist())
    found = [calibrate_collection(path, precision) for precision in (0.6, 0.8, 0.95)]
    assert found[0].after.match < found[1].after.match < found[2].after.match <= 0.9
    assert [one.precision >= wanted for one, wanted in zip(found, (0.6, 0.8, 0.95), strict=True)] == [True] * 3
    assert found[0].after.review == found[2].after.review and found[0].missed <= 0.02 * found[0].accepted


def test_where_the_surest_were_rejected_nothing_decided_is_a_match(tmp_path: Path) -> None:
    path = decided(tmp_path / "refs.ct", spread(0.5, 0.7, 10), spread(0.8, 0.95, 10))
    found = calibrate_collection(path)
    assert 0.95 < found.after.match < 0.9501 and found.precision is None and found.after.review == 0.5


@pytest.mark.parametrize(("accepted", "rejected"), [(0, 0), (40, 0), (0, 40), (36, 4), (4, 36), (9, 10)])
def test_too_few_or_one_sided_decisions_are_refused(tmp_path: Path, accepted: int, rejected: int) -> None:
    path = decided(tmp_path / "refs.ct", spread(0.7, 0.8, accepted), spread(0.5, 0.6, rejected))
    with pytest.raises(ScoreError, match=f"{accepted} accepted and {rejected} rejected"):
        calibrate_collection(path)
    with StoredThresholds(path) as stored:
        assert stored.current() == Thresholds()


def test_the_commands(tmp_path: Path) -> None:
    path = decided(tmp_path / "refs.ct", spread(0.7, 0.89, 20), spread(0.5, 0.65, 20))
    printed = run("calibrate", "--from", path).stdout
    assert "20 accepted, 20 rejected" in printed and "match            0.9 ->" in printed
    undo = printed.splitlines()[-1].partition("copytrace ")[2].split()
    assert run(*undo).stdout.splitlines()[:2] == ["match   0.9", "review  0.5"]
    with StoredThresholds(path) as stored:
        assert stored.current() == Thresholds()
    shown = json.loads(run("calibrate", "--from", path, "--precision", 0.9, "--json").stdout)
    assert shown["before"] == {"match": 0.9, "review": 0.5} and shown["accepted"] == 20
    assert json.loads(run("collection", "thresholds", path, "--json").stdout)["match"] == shown["after"]["match"]
    run("collection", "thresholds", path, "--match", 0.2, "--review", 0.3, code=1)
    run("collection", "thresholds", path, "--match", "nan", code=2)
    for wrong in (
        ["--from", path, path],
        ["--from", path, "--false-matches", 1],
        ["--from", path, "--precision", 0],
        [],
    ):
        run("calibrate", *wrong, code=2)
    assert "no such collection" in run("calibrate", "--from", tmp_path / "none.ct", code=1).stderr
    few = decided(tmp_path / "few.ct", [0.6], [0.5])
    failed = run("calibrate", "--from", few, "--json", code=1)
    assert json.loads(failed.stdout)["kind"] == "ScoreError" and "too few" in failed.stderr


def test_damaged_thresholds(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "refs.ct", 4, properties={"thresholds": {"match": 0.1, "review": 0.5}}):
        pass
    with pytest.raises(CollectionError, match="thresholds must be"):
        StoredThresholds(tmp_path / "refs.ct")
