"""The review queue: what goes into it, decisions that last, and what was wrong once scoring lower the next time."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from services import Running, photo, running

from copytrace.engine import Collection, CollectionError
from copytrace.engine.collection import NewReview, Reviews
from copytrace.engine.collection.reviews import RejectedPair
from copytrace.engine.match.probability import RELATED, SAME, PairModel
from copytrace.engine.serve.rejected import MOST, NEAR, Rejected

from bundle_files import small_bundle

ALL_DOUBTFUL = {"match": 1, "review": 0}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "small")


@pytest.fixture
def own(tmp_path: Path, bundle: Path) -> Iterator[Running]:
    """A service to which everything is doubtful."""
    with running(tmp_path / "refs.ct", bundle=bundle) as found:
        found.add(*((f"R{i}.jpg", photo(i)) for i in range(4)))
        assert found.client.put("/v1/thresholds", json=ALL_DOUBTFUL).status_code == 200
        yield found


def queue(own: Running, **params: Any) -> list[dict[str, Any]]:
    answer = own.client.get("/v1/reviews", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def decide(own: Running, number: int, decision: str | None) -> dict[str, Any]:
    answer = own.client.post(f"/v1/reviews/{number}", json={"decision": decision})
    assert answer.status_code == 200, answer.text
    return answer.json()


def reencoded(number: int) -> bytes:
    pixels = cv2.imdecode(np.frombuffer(photo(number), np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()


def black() -> bytes:
    """To the test's small network, photographs are all alike."""
    return cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()


def test_every_doubtful_match_is_queued_once(own: Running) -> None:
    for verify in ("candidates", "candidates", "none"):
        (item, bad) = own.match(("<b>q</b>.jpg", photo(9)), ("bad", b"none"), verify=verify, evidence=verify != "none")
        assert {match["verdict"] for match in item["matches"]} == {"review"} and bad["error"]
        if verify == "candidates":
            expected = {match["id"]: match for match in item["matches"]}
    found = queue(own)
    assert len(found) == len(expected) == 4
    for review in found:
        match = expected[review["reference"]]
        assert (review["probability"], review["score"]) == (match["probability"], match["score"])
        assert review["evidence"] == match["evidence"] and review["evidence"]["query_id"] == review["name"]
        assert review["name"] == "<b>q</b>.jpg" and review["decision"] is None and review["decided"] is None
        picture = own.client.get(f"/v1/reviews/{review['id']}/thumbnail")
        assert picture.headers["content-type"] == "image/jpeg"
        assert max(cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_COLOR).shape) <= 360
    ids = [review["id"] for review in found]
    assert ids == sorted(ids, reverse=True)
    doubts = [abs(review["probability"] - 0.5) for review in queue(own, order="doubtful")]
    assert doubts == sorted(doubts)
    own.match(("none", photo(8)), k=1)
    (without,) = [review for review in queue(own) if review["name"] == "none"]
    assert without["evidence"] is None


@pytest.mark.parametrize("order", ["newest", "doubtful"])
def test_pages(own: Running, order: str) -> None:
    own.match(*((f"q{i}", photo(10 + i)) for i in range(4)))
    everything = queue(own, order=order)
    assert len(everything) == 16
    paged: list[dict[str, Any]] = []
    after: dict[str, int] = {}
    while True:
        page = own.client.get("/v1/reviews", params={"order": order, "limit": 5, **after}).json()
        assert page["waiting"] == 16
        paged += page["items"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert paged == everything
    for wrong in ({"order": "best"}, {"after": 0}, {"after": 1 << 63}, {"limit": 0}, {"unknown": 1}):
        assert own.client.get("/v1/reviews", params=wrong).status_code == 422


def test_decisions_last_and_leave_an_entry(own: Running, bundle: Path) -> None:
    own.match(("q", photo(9)))
    first, second, third, _ = queue(own)
    assert decide(own, first["id"], "accept")["decision"] == "accept"
    assert decide(own, second["id"], "accept") == decide(own, second["id"], "accept")  # again is no second decision
    assert decide(own, second["id"], "reject")["decision"] == "reject"
    decide(own, third["id"], "reject")
    assert decide(own, third["id"], None)["decision"] is None
    assert [review["id"] for review in queue(own)] == [third["id"], third["id"] - 1]
    for number, body in ((first["id"], {"decision": "maybe"}), (first["id"], {}), ("x", {"decision": "accept"})):
        assert own.client.post(f"/v1/reviews/{number}", json=body).status_code == 422
    assert own.client.post("/v1/reviews/999", json={"decision": "accept"}).status_code == 404
    assert own.client.get("/v1/reviews/999/thumbnail").status_code == 404
    own.match(("q", photo(9)))  # what is decided is not asked again
    log = [entry for entry in own.service.references.collection.audit() if entry.action == "review"]
    assert [entry.what["decision"] for entry in log] == ["accept", "accept", "reject", "reject", None]
    assert log[0].who == "anyone on this machine" and log[0].what["reference"] == first["reference"]
    path = own.service.path
    with running(path.parent / "copy.ct", bundle=bundle) as other:
        assert queue(other) == []
    with Collection.open(path) as reader:
        reader.backup(path.parent / "backup.ct")
    with Reviews(path.parent / "backup.ct") as reviews:
        assert [(one.number, one.decision) for one in reviews.page(decided=True)] == [
            (first["id"], "accept"),
            (second["id"], "reject"),
        ]
        assert all(one.who and one.decided > one.created for one in reviews.page(decided=True))


def test_a_decision_may_say_what_it_changes(own: Running) -> None:
    """So that two who look at the same pair do not undo each other's decision unseen."""
    own.match(("q", photo(9)), k=1)
    (review,) = queue(own)

    def status(**body: str | None) -> int:
        return own.client.post(f"/v1/reviews/{review['id']}", json=body).status_code

    assert status(decision="accept", before="reject") == 409 and status(decision="accept", before=None) == 200
    refused = own.client.post(f"/v1/reviews/{review['id']}", json={"decision": "reject", "before": None})
    assert refused.status_code == 409 and "accepted by anyone on this machine" in refused.json()["error"]["message"]
    assert status(decision=None, before="accept") == 200 and status(decision="reject") == 200
    assert status(decision="accept", before="other") == 422
    assert queue(own, decided=True)[0]["decision"] == "reject"


def test_references_that_go_or_change_take_what_waits_with_them(own: Running) -> None:
    own.match(("q", photo(9)))
    decided = next(review for review in queue(own) if review["reference"] == "R1")
    decide(own, decided["id"], "reject")
    assert len(own.service.reviewing.rejected) == 1
    own.client.delete("/v1/references/R0")
    own.add(("R2.jpg", photo(12)), params={"replace": "true"})
    assert [review["reference"] for review in queue(own)] == ["R3"]
    own.add(("R1.jpg", photo(13)), params={"replace": "true"})
    assert len(own.service.reviewing.rejected) == 0
    assert [review["id"] for review in queue(own, decided=True)] == [decided["id"]]  # what was decided stays
    assert own.service.reviewing.reviews.rejected() == []
    decide(own, decided["id"], None)
    decide(own, decided["id"], "reject")
    assert len(own.service.reviewing.rejected) == 0  # of a picture that is not there any more
    own.match(("q", photo(9)))
    assert {review["reference"] for review in queue(own)} == {"R1", "R2", "R3"}


@pytest.mark.parametrize("verify", ["none", "candidates"])
def test_what_was_rejected_scores_lower_the_next_time(own: Running, bundle: Path, verify: str) -> None:
    queries = {"same": photo(9), "near": reencoded(9), "other": black()}

    def answers(served: Running) -> dict[str, dict[str, dict[str, Any]]]:
        items = served.match(*queries.items(), verify=verify)
        return {item["name"]: {match["id"]: match for match in item["matches"]} for item in items}

    before = answers(own)
    (review,) = [one for one in queue(own) if (one["name"], one["reference"]) == ("same", "R1")]
    decide(own, review["id"], "reject")
    after = answers(own)
    for name in ("same", "near"):
        old, new = before[name].pop("R1"), after[name].pop("R1")
        assert new["score"] < old["score"] and new["probability"] < old["probability"]
        odds = [np.log(one["probability"] / (1 - one["probability"])) for one in (old, new)]
        lost = odds[0] - odds[1]
        assert lost == pytest.approx(MOST, abs=1e-3) if name == "same" else 0.5 * MOST < lost < MOST
    assert after == before  # other references and other queries, to the last bit
    decide(own, review["id"], None)
    assert answers(own)["near"]["R1"] == old
    decide(own, review["id"], "reject")
    assert answers(own)["near"]["R1"] == new
    backup = own.service.path.parent / "second.ct"
    own.service.references.reader.backup(backup)
    with running(backup, bundle=bundle) as again:
        assert answers(again)["near"]["R1"] == new
    with running(backup, bundle=bundle, lower_rejected=False) as without:
        assert answers(without)["near"]["R1"] == old


def test_only_near_duplicates_of_a_rejected_query_score_lower() -> None:
    rng = np.random.default_rng(0)
    row = rng.normal(size=16).astype(np.float32)
    row /= np.linalg.norm(row)
    away = rng.normal(size=16).astype(np.float32)
    away -= row * (row @ away)
    away /= np.linalg.norm(away)
    model = PairModel(tuple(float(term == "cosine") * 10.0 for term in RELATED), (0.0,) * len(SAME))
    rejected = Rejected([RejectedPair(1, "a", 3 * row), RejectedPair(2, "a", -row)], model, most=2)
    nearest = [("a", -1.0), ("b", -1.1)]
    for cosine, loss in ((1.0, MOST), (0.9, MOST * (0.9 - NEAR) / (1 - NEAR)), (NEAR, 0.0), (0.5, 0.0), (0.0, 0.0)):
        query = 2 * (cosine * row + np.sqrt(1 - cosine**2) * away).astype(np.float32)
        scores = dict(rejected.lower_nearest(query, nearest))
        assert scores["a"] == pytest.approx(-1.0 - loss / 5.0, abs=1e-5) and scores["b"] == -1.1
    assert rejected.lower_nearest(row, nearest)[0] == ("b", -1.1)
    assert rejected.lower_nearest(away, nearest) is nearest
    rejected.add(RejectedPair(3, "b", row))  # and the oldest goes
    assert dict(rejected.lower_nearest(row, nearest))["a"] == -1.0 and len(rejected) == 2
    rejected.forget(["b", "c"])
    rejected.take_back(7)
    assert rejected.lower_nearest(row, nearest) is nearest and len(rejected) == 1


def test_it_can_be_switched_off(tmp_path: Path, bundle: Path) -> None:
    with running(tmp_path / "refs.ct", bundle=bundle, review_queue=False) as own:
        own.client.put("/v1/thresholds", json=ALL_DOUBTFUL)
        own.add(("a.jpg", photo(1)))
        assert own.match(("q", photo(2)))[0]["matches"][0]["verdict"] == "review"
        assert queue(own) == []


def test_a_kill_takes_back_nothing_that_was_acknowledged(own: Running, bundle: Path) -> None:
    path = own.service.path.parent / "second.ct"
    own.service.references.reader.backup(path)
    command = [str(Path(sys.executable).parent / "copytrace"), "serve", str(path), "--no-auth", "--port", "0"]
    acknowledged: dict[int, str] = {}
    with (
        subprocess.Popen([*command, "--bundle", str(bundle)], stderr=subprocess.PIPE, text=True) as process,
        ExitStack() as ending,
    ):
        ending.callback(process.kill)  # also when something fails before its time has come
        assert process.stderr is not None
        url = next(line for line in process.stderr if line.startswith("serving")).split()[-1]
        with httpx.Client(base_url=url, transport=httpx.HTTPTransport(retries=3), timeout=60) as client:
            while client.get("/readyz").status_code != 200:
                time.sleep(0.02)
            files = [("images", (f"q{i}", photo(10 + i))) for i in range(4)]
            assert client.post("/v1/match", params={"verify": "none"}, files=files).status_code == 200
            with Reviews(path) as reviews:
                numbers = [review.number for review in reviews.page()]
            assert len(numbers) == 16
            with suppress(httpx.TransportError):
                for turn in count():
                    number, decision = numbers[turn % 16], ("accept", "reject")[turn // 16 % 2]
                    assert client.post(f"/v1/reviews/{number}", json={"decision": decision}).status_code == 200
                    acknowledged[number] = decision
                    if turn == 0:
                        threading.Timer(0.1, process.kill).start()
        process.stderr.read()
    with Reviews(path) as reviews, Collection.open(path) as collection:
        found = {review.number: review.decision for review in reviews.page(decided=True)}
        assert acknowledged and collection.check() == []
        assert sum(found[number] != decision for number, decision in acknowledged.items()) <= 1  # the one under way
        assert len(found.keys() - acknowledged) <= 1


def test_a_full_disk_keeps_nobody_from_an_answer(own: Running, caplog: pytest.LogCaptureFixture) -> None:
    reviews = own.service.reviewing.reviews
    own.match(("q" * 1000, photo(9)))
    assert {len(review["name"]) for review in queue(own)} == {255}
    connection = reviews._catalogue.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    items = own.match(*((f"q{i}", photo(20 + i)) for i in range(8)))
    assert all(match["verdict"] == "review" for item in items for match in item["matches"])
    assert own.service.reviewing.dropped == 1 and "not queued" in caplog.text and len(queue(own)) == 4
    assert "copytrace_reviews_dropped 1.0" in own.client.get("/metrics").text
    connection.execute("PRAGMA max_page_count = 1000000")
    own.match(("q0", photo(20)))
    assert len(queue(own)) == 8 and own.service.references.reader.check() == []


def pair(number: int, reference: str = "a") -> NewReview:
    return NewReview(f"{number:064x}", f"q{number}", reference, 0.6, 1.0, {}, b"jpeg", np.full(4, number, np.float32))


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "refs.ct", 4) as collection, Reviews(tmp_path / "refs.ct") as reviews:
        collection.add(["a"], np.zeros((1, 4), np.float32))
        assert reviews.add([pair(i) for i in range(8)], 5) == 8 and reviews.add([pair(7), pair(1, "b")], 5) == 0
        assert [one.name for one in reviews.page()] == ["q7", "q6", "q5", "q4", "q3"]
        for review in reversed(reviews.page()):
            reviews.decide(review.number, "reject", "the test", 3)
        assert [one.name for one in reviews.page(decided=True)] == ["q7", "q6", "q5"] and reviews.waiting() == 0
        assert [one.row.tolist() for one in reviews.rejected()] == [[float(i)] * 4 for i in (5, 6, 7)]
        assert collection.check() == []


def test_damage_is_found(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "refs.ct", 4) as collection, Reviews(tmp_path / "refs.ct") as reviews:
        collection.add(["a"], np.zeros((1, 4), np.float32))
        reviews.add([pair(1)], 5)
        reviews._catalogue.connection.execute("UPDATE review SET decision = 'accept'")
        with pytest.raises(CollectionError, match="damaged: the review 1"):
            reviews.decisions()
        assert "the review 1" in collection.check()[0]
