"""HMA's routes: the shapes of HMA's own answers, and what is ours about them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from services import Running, running

from bundle_files import small_bundle
from hma_calls import ANSWERS, Answer, all_calls, ask_hma, photo

TYPE = {"signal_type": "copytrace"}
STORAGE = "the collection cannot be read or written; the log says why"


def expected() -> dict[str, Any]:
    return {name: tuple(answer) for name, answer in json.loads(ANSWERS.read_text())["answers"].items()}


def call(running: Running, method: str, path: str, *, files: dict[str, bytes] | None = None, **more: Any) -> Answer:
    parts = {name: ("a.jpg", content) for name, content in (files or {}).items()}
    answer = running.client.request(method, path, files=parts or None, **more)
    is_json = answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json() if is_json else answer.text


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """With the package's bundle, since what is like what is part of the answers."""
    with running(tmp_path_factory.mktemp("served") / "refs.ct", request_bytes=1 << 20) as found:
        yield found


def test_answers_are_those_of_hma(shared: Running) -> None:
    found = json.loads(json.dumps(all_calls(lambda *args, **more: call(shared, *args, **more), lambda: None)))
    answers = {name: tuple(answer) for name, answer in found.items()}
    status, banks = answers["banks"]
    assert banks[0]["name"] == "REFERENCES"  # the one bank that HMA does not have
    assert answers | {"banks": (status, banks[1:])} == expected()


@pytest.mark.skipif("HMA_DATABASE_URI" not in os.environ, reason="HMA is not here; see hma_calls.py")
def test_hma_still_answers_so(tmp_path: Path) -> None:
    found = ask_hma(os.environ["HMA_DATABASE_URI"], tmp_path)
    assert {name: tuple(answer) for name, answer in json.loads(json.dumps(found)).items()} == expected()


def test_references_and_contents_are_the_same_things(shared: Running) -> None:
    shared.add(("plain", photo(20)), ("odd", photo(21)), ("lost", photo(22)))
    for name, metadata in (("odd", {"bank": 5, "hma": "text"}), ("lost", {"bank": "GONE", "hma": {"note": 1}})):
        assert shared.client.patch(f"/v1/references/{name}", json={"metadata": metadata}).status_code == 200
    for number in (20, 21, 22):
        _, found = call(shared, "POST", "/m/lookup", files={"photo": photo(number)})
        ((bank, (match,)),) = found["copytrace"].items()
        assert bank == "REFERENCES" and match["distance"] == "0.0000"
        status, content = call(shared, "GET", f"/c/bank/REFERENCES/content/{match['bank_content_id']}")
        assert status == 200 and not {"metadata", "note", "signals"} & set(content)
    shared.client.post("/c/banks", json={"name": "GONE"})
    assert list(call(shared, "POST", "/m/lookup", files={"photo": photo(22)})[1]["copytrace"]) == ["GONE"]
    assert call(shared, "GET", f"/c/bank/REFERENCES/content/{match['bank_content_id']}")[0] == 404
    assert call(shared, "DELETE", f"/c/bank/REFERENCES/content/{match['bank_content_id']}") == (200, {"deleted": 0})
    assert call(shared, "DELETE", f"/c/bank/GONE/content/{match['bank_content_id']}") == (200, {"deleted": 1})
    assert shared.client.get("/v1/references/lost").status_code == 404
    entry = shared.service.references.collection.audit()[-1]
    assert (entry.action, entry.what) == ("delete", {"ids": ["lost"]})


def test_adding_again_changes_nothing_but_what_is_said(shared: Running) -> None:
    def add(**facts: str) -> int:
        status, added = call(shared, "POST", "/c/bank/REFERENCES/content", files={"photo": photo(30)}, data=facts)
        assert status == 200
        return int(added["id"])

    number, before = add(), len(shared.service.references)
    assert add(note="again") == add() == number and len(shared.service.references) == before
    path = f"/c/bank/REFERENCES/content/{number}"
    assert call(shared, "GET", path)[1]["note"] == "again"
    assert add(note="later", metadata='{"content_uri": "u"}') == number
    content = call(shared, "GET", path)[1]
    assert content["note"] == "later" and content["metadata"]["content_uri"] == "u"
    call(shared, "DELETE", path)
    assert add() > number  # a number is never given again


def test_an_edited_photograph_is_found_at_the_distance_of_its_descriptor(shared: Running) -> None:
    shared.add(("kept", photo(40)))
    picture = cv2.imdecode(np.frombuffer(photo(40), np.uint8), cv2.IMREAD_COLOR)
    edited = cv2.imencode(".jpg", cv2.resize(picture, None, fx=0.5, fy=0.5), [cv2.IMWRITE_JPEG_QUALITY, 60])[
        1
    ].tobytes()
    signals = [call(shared, "POST", "/h/hash", files={"photo": data})[1]["copytrace"] for data in (photo(40), edited)]
    rows = shared.service.engine.embed([photo(40), edited])
    assert [np.array_equal(shared.service.signals.decode(s), row) for s, row in zip(signals, rows, strict=True)] == [
        True
    ] * 2
    distance = float(np.linalg.norm(rows[0].astype(np.float64) - rows[1].astype(np.float64)))
    assert 0.01 < distance < shared.service.signals.max_distance
    _, found = call(shared, "GET", "/m/lookup", params=TYPE | {"signal": signals[1]})
    assert [match["distance"] for match in found["REFERENCES"]] == [f"{distance:.4f}"]
    matches, info = call(shared, "POST", "/m/compare", json={"copytrace": signals})[1]["copytrace"]
    assert matches is True and info["distance"] == pytest.approx(distance, abs=1e-12)
    _, by_hand = call(shared, "GET", f"/m/raw_lookup?signal_type=copytrace&signal={signals[0]}")  # + is not escaped
    assert by_hand == call(shared, "GET", "/m/raw_lookup", params=TYPE | {"signal": signals[0]})[1]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/h/hash?url=http://127.0.0.1/x.jpg", 400),
        ("GET", "/m/lookup?url=http://127.0.0.1/x.jpg", 400),
        ("POST", "/c/bank/REFERENCES/content?url=http://127.0.0.1/x.jpg", 400),
        ("GET", "/m/raw_lookup?signal=a", 400),
        ("GET", "/m/raw_lookup?signal=a&signal_type=copytrace&bank=A", 400),
        ("GET", "/m/raw_lookup?signal=%FF%00&signal_type=copytrace", 400),
        ("GET", "/c/bank/REFERENCES/content/x", 404),
        ("GET", "/c/bank/REFERENCES/content/-1", 404),
        ("GET", f"/c/bank/REFERENCES/content/{'9' * 19}", 404),
        ("GET", f"/c/bank/REFERENCES/content/{'9' * 6000}", 404),
        ("GET", "/c/bank/%00/content/1", 404),
        ("PUT", "/c/bank/REFERENCES", 405),
        ("GET", "/m/none", 404),
    ],
)
def test_refusals_are_messages(shared: Running, method: str, path: str, status: int) -> None:
    found, body = call(shared, method, path)
    assert found == status and set(body) == {"message"}


def test_bad_forms_are_messages(shared: Running) -> None:
    for form in (
        {"files": [("photo", ("a", photo(1))), ("photo", ("b", photo(2)))]},
        {"files": {"photo": ("a", bytes(2 << 20))}},
        {"files": {"images": ("a", photo(1))}},
        {"content": photo(1), "headers": {"content-type": "image/jpeg"}},
        {"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"", "headers": {"content-type": "multipart/form-data"}},
        {"data": {"photo": "text"}},
    ):
        for path in ("/h/hash", "/m/lookup", "/c/bank/REFERENCES/content"):
            answer = shared.client.post(path, **form)
            assert answer.status_code in (400, 413) and set(answer.json()) == {"message"}, (path, answer.text)
    for body in (
        b"{",
        b"[]",
        b'{"name": 5}',
        b'{"name": "A", "enabled_ratio": 0.5}',
        b'{"name": "A", "enabled": false}',
    ):
        answer = shared.client.post("/c/banks", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400 and set(answer.json()) == {"message"}
    for metadata in ("[]", '"text"', '{"json": 5}', "[" * 100_000, '{"json": {"a": NaN}}', '{"content_id": "\\ud800"}'):
        files, data = {"photo": ("a", photo(1))}, {"metadata": metadata}
        answer = shared.client.post("/c/bank/REFERENCES/content", files=files, data=data)
        assert answer.status_code == 400 and set(answer.json()) == {"message"}, metadata[:20]


def test_banks_stay_and_keys_are_asked_for(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle")
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        assert own.client.post("/c/banks", json={"name": "STAYS"}).status_code == 201
        _, added = call(own, "POST", "/c/bank/STAYS/content", files={"photo": photo(1)})
        entries = own.service.references.collection.audit()
        assert [entry.action for entry in entries] == ["bank", "add"]
        own.service.state = "draining"
        assert call(own, "GET", "/status") == (503, "INDEX-NOT-LOADED")
        own.service.state = "starting"
        assert call(own, "GET", "/m/index/status")[1]["copytrace"] == {"present": False, "built_to": -1, "size": 0}
        status, body = call(own, "POST", "/m/lookup", files={"photo": photo(1)})
        assert status == 503 and set(body) == {"message"}
        own.service.state = "ready"
        own.service.references.collection.set_properties(banks=5)
        assert call(own, "GET", "/c/banks") == (500, {"message": STORAGE})
        own.service.references.collection.set_properties(banks=["STAYS", *(f"B{i}" for i in range(998))])
        assert own.client.post("/c/banks", json={"name": "ONE_MORE"}).status_code == 400
        own.service.references.collection.set_properties(banks=["STAYS"])
    with running(tmp_path / "refs.ct", bundle=bundle, no_auth=False) as again:
        assert [bank["name"] for bank in _admin(again).get("/c/banks").json()] == ["REFERENCES", "STAYS"]
        assert _admin(again).get(f"/c/bank/STAYS/content/{added['id']}").status_code == 200
        again.client.headers.clear()
        refused = again.client.get("/c/banks")
        assert refused.status_code == 401 and set(refused.json()) == {"message"}
        assert refused.headers["www-authenticate"] == "Bearer"
        assert again.client.get("/status").text == "I-AM-ALIVE"


def _admin(running: Running) -> Any:
    from copytrace.engine.collection import Keys

    if "authorization" not in running.client.headers:
        with Keys(running.service.path) as keys:
            running.client.headers["authorization"] = f"Bearer {keys.add('a key', 'admin', 'the test')}"
    return running.client
