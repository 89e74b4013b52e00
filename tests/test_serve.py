"""The service's answers: match, references and embed, the same as the engine gives without it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from services import Running, photo, running

from copytrace.engine import Collection, Engine, search
from copytrace.engine.collection import Thresholds
from copytrace.engine.match.aligned import NOTHING
from copytrace.engine.match.probability import RELATED, SAME, PairFeatures, PairModel
from copytrace.engine.match.verification import NONE
from copytrace.engine.serve.verdicts import similarity_probabilities

from bundle_files import small_bundle

Image = tuple[str, bytes]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "small")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("served") / "refs.ct", bundle=bundle) as found:
        found.add(*((f"R{i:04d}.jpg", photo(i)) for i in range(24)))
        yield found


def image(number: int, name: str | None = None) -> Image:
    return (name or f"R{number:04d}.jpg", photo(number))


def test_status(shared: Running) -> None:
    assert shared.client.get("/healthz").json() == {"status": "ok"}
    assert shared.client.get("/readyz").json() == {"status": "ready"}
    figures = shared.client.get("/metrics").text
    for name in (
        'copytrace_requests_total{code="200",method="POST",route="/v1/references"}',
        'copytrace_stage_seconds_count{stage="queue"}',
        "copytrace_queue_images 0.0",
        "copytrace_batch_images_count",
        "copytrace_references 24.0",
        f"copytrace_index_bytes {24 * 8 * 4}.0",
        "copytrace_last_checkpoint_seconds 1",
        "# TYPE copytrace_rejected_total counter",
    ):
        assert name in figures, name


def test_openapi_describes_every_route_and_its_errors(shared: Running) -> None:
    paths = shared.client.get("/openapi.json").json()["paths"]
    assert {"/v1/match", "/v1/references", "/v1/references/{id}", "/v1/references/delete", "/v1/embed"} <= set(paths)
    body = paths["/v1/match"]["post"]["requestBody"]["content"]
    assert "images" in body["multipart/form-data"]["schema"]["properties"] and "image/*" in body
    assert {"401", "413", "503"} <= set(paths["/v1/match"]["post"]["responses"])


def test_answers_are_those_of_search(shared: Running, bundle: Path, tmp_path: Path) -> None:
    """Also where the images came together with others, and with another k."""
    engine = Engine(bundle, precision="int8")
    queries = [photo(i) for i in (3, 17, 100, 101)]
    with Collection.open(shared.service.path) as collection:
        rows = engine.embed(queries, role="query")
        for k in (1, 5, 24, 100):
            expected: dict[str, list[tuple[str, float]]] = {}
            for query, reference, score in search((list("abcd"), rows), collection, k=k):
                expected.setdefault(query, []).append((reference, score))
            items = shared.match(*zip("abcd", queries, strict=True), k=k)
            found = {item["name"]: [(m["id"], m["score"]) for m in item["matches"]] for item in items}
            assert found == expected
            (single,) = shared.match(("c", queries[2]), k=k)
            assert [(m["id"], m["score"]) for m in single["matches"]] == expected["c"]


def test_one_image_as_the_whole_body(shared: Running) -> None:
    headers = {"content-type": "image/jpeg"}
    answer = shared.client.post("/v1/match?k=1&verify=none", content=photo(5), headers=headers).json()
    assert answer["items"][0]["matches"][0]["id"] == "R0005"
    assert answer["bundle"] == shared.service.engine.bundle.recipe
    assert answer["timings"]["total"] >= answer["timings"]["infer"] > 0
    added = shared.client.post("/v1/references?id=raw", content=photo(30), headers=headers).json()
    assert added["items"][0]["status"] == "added"
    assert shared.client.delete("/v1/references/raw").json() == {"id": "raw", "status": "deleted"}


def test_verdicts_go_by_the_thresholds(shared: Running) -> None:
    (item,) = shared.match(image(7), k=24)
    probabilities = [match["probability"] for match in item["matches"]]
    assert probabilities == sorted(probabilities, reverse=True) and 0 <= probabilities[-1] < probabilities[0] <= 1
    thresholds = Thresholds()
    assert [match["verdict"] for match in item["matches"]] == [thresholds.verdict(value) for value in probabilities]
    assert [thresholds.verdict(value) for value in (0.9, 0.8999, 0.5, 0.4999)] == [
        "match",
        "review",
        "review",
        "no match",
    ]


def test_probabilities_by_the_score_alone_are_those_of_the_model() -> None:
    related = tuple(np.random.default_rng(0).normal(size=len(RELATED)).tolist())
    model = PairModel(related, (0.0,) * len(SAME))
    scores = [-0.0, -0.1, -1.7, -2.0, -4.5]
    pairs = [PairFeatures.of(1.0 + score / 2.0, NONE, NOTHING, 0.0, 1) for score in scores]
    assert np.allclose(similarity_probabilities(model, scores), model.predict(pairs), rtol=1e-12)
    assert similarity_probabilities(model, []) == []


def test_a_bad_image_is_its_own_error(shared: Running) -> None:
    cut = photo(8)[:-700]
    items = shared.match(("good", photo(8)), ("text", b"no image"), ("empty", b""), ("cut", cut), ("also", photo(9)))
    assert [bool(item["error"]) for item in items] == [False, True, True, True, False]
    assert [item["matches"] == [] for item in items] == [False, True, True, True, False]
    assert "truncated" in items[3]["error"] and items[4]["matches"][0]["id"] == "R0009"
    ids = json.dumps(["text", "bad\0id"])
    added = shared.add(("text", b"no image"), ("x.jpg", photo(40)), data={"ids": ids})["items"]
    assert [item["status"] for item in added] == ["error", "error"] and all(item["error"] for item in added)
    assert len(shared.service.references) == 24


def test_a_damaged_image_is_answered_and_said_to_be_damaged(shared: Running) -> None:
    whole = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    data = bytearray(cv2.imencode(".jpg", whole)[1].tobytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    (item,) = shared.match(("hole", bytes(data)))
    assert item["damaged"] and item["matches"] and item["error"] is None
    (added,) = shared.add(("hole", bytes(data)))["items"]
    assert added["status"] == "added" and added["damaged"] == item["damaged"]
    shared.client.delete("/v1/references/hole")


def test_embed(shared: Running, bundle: Path) -> None:
    engine = Engine(bundle, precision="int8")
    files = [("images", image(i)) for i in (1, 2)]
    for role in ("reference", "query"):
        expected = engine.embed([photo(1), photo(2)], role=role)
        answer = shared.client.post("/v1/embed", files=files, params={"role": role}).json()
        assert np.array_equal(np.array([i["descriptor"] for i in answer["items"]], np.float32), expected)
        raw = shared.client.post("/v1/embed", files=files, params={"role": role, "format": "float32"})
        assert raw.headers["x-copytrace-shape"] == "2,8"
        assert np.array_equal(np.frombuffer(raw.content, "<f4").reshape(2, 8), expected)
        accepted = shared.client.post(
            "/v1/embed", files=files, params={"role": role}, headers={"accept": "application/octet-stream"}
        )
        assert accepted.content == raw.content
    files.append(("images", ("bad", b"no image")))
    assert shared.client.post("/v1/embed", files=files).json()["items"][2]["descriptor"] is None
    refused = shared.client.post("/v1/embed", files=files, params={"format": "float32"})
    assert refused.status_code == 422 and "bad" in refused.json()["error"]["message"]


def test_add_again_replace_and_report(tmp_path: Path, bundle: Path) -> None:
    with running(tmp_path / "refs.ct", bundle=bundle) as own:

        def status(*images: Image, **more: Any) -> list[str]:
            return [item["status"] for item in own.add(*images, **more)["items"]]

        form = {"data": {"ids": json.dumps(["one", "two"]), "metadata": json.dumps([{"a": 1, "b": "ü"}, None])}}
        assert status(image(1), image(2), **form) == ["added", "added"]
        assert own.client.get("/v1/references/one").json()["metadata"] == {"a": 1, "b": "ü"}
        computed = _computed(own)
        assert status(image(1), image(2), **form) == ["unchanged", "unchanged"]
        assert _computed(own) == computed  # it is known by its bytes
        assert status(image(1), ("bad", b""), ("two", photo(2)), data={"ids": '["one", "bad", "two"]'}) == [
            "unchanged",
            "error",
            "unchanged",
        ]
        assert status(("one.png", photo(1))) == ["unchanged"]  # nothing was said about metadata
        (other,) = own.add(("one", photo(3)))["items"]
        assert other["status"] == "error" and "replace=true" in other["error"]
        (copy,) = own.add(("three", photo(1)))["items"]
        assert copy["status"] == "added" and copy["same_as"] == ["one"]
        assert own.match(image(1), k=1)[0]["matches"][0]["id"] == "one"
        assert status(("one", photo(3)), params={"replace": "true"}) == ["replaced"]
        assert own.client.get("/v1/references/one").json()["metadata"] == {"a": 1, "b": "ü"}
        assert own.match(image(3), k=1)[0]["matches"][0]["id"] == "one"
        assert own.match(image(1), k=1)[0]["matches"][0]["id"] == "three"
        changed = {"data": {"metadata": '[{"c": 2}]'}}
        assert status(("one", photo(3)), **changed) == ["error"]
        assert status(("one", photo(3)), params={"replace": "true"}, **changed) == ["replaced"]
        assert own.client.get("/v1/references/one").json()["metadata"] == {"c": 2}
        assert status(("x", photo(5)), ("x", photo(5)), ("x", photo(6))) == ["added", "unchanged", "error"]
        (unnamed,) = own.add((".jpg", photo(9)))["items"]
        assert len(unnamed["id"]) > 0
        expected = own.match(*(image(i) for i in range(12)), k=10)
    with running(tmp_path / "refs.ct", bundle=bundle) as again:  # what was acknowledged is there after a new start
        assert again.match(*(image(i) for i in range(12)), k=10) == expected
        assert again.service.references.collection.check() == []


def _computed(own: Running) -> str:
    """The line of the metrics that says how many images were computed."""
    return next(line for line in own.client.get("/metrics").text.splitlines() if "copytrace_batch_images_sum" in line)


def test_one_image_under_many_ids_does_not_make_answers_long(tmp_path: Path, bundle: Path) -> None:
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        own.add(*(("x", photo(1)) for _ in range(40)), data={"ids": json.dumps([f"copy {i}" for i in range(40)])})
        (one,) = own.add(("one", photo(1)))["items"]
        assert one["status"] == "added" and 9 <= len(one["same_as"]) <= 10


def test_list_patch_and_delete(tmp_path: Path, bundle: Path) -> None:
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        ids = [f"id {i}/ä%2F?#{i}" for i in range(5)]
        own.add(*(image(i) for i in range(5)), data={"ids": json.dumps(ids)})
        first = own.client.get("/v1/references", params={"limit": 3}).json()
        rest = own.client.get("/v1/references", params={"limit": 3, "after": first["next"]}).json()
        assert [item["id"] for item in first["items"] + rest["items"]] == ids and rest["next"] is None
        assert first["count"] == 5 and first["items"][0]["size"] == len(photo(0))

        def path(name: str) -> str:
            return f"/v1/references/{quote(name, safe='')}"

        assert own.client.get(path(ids[2])).json()["id"] == ids[2]
        for changes, result in (({"a": 1, "b": [None]}, {"a": 1, "b": [None]}), ({"a": None}, {"b": [None]})):
            patched = own.client.patch(path(ids[2]), json={"metadata": changes}).json()
            assert patched["metadata"] == result == own.client.get(path(ids[2])).json()["metadata"]
        assert own.client.delete(path(ids[0])).json() == {"id": ids[0], "status": "deleted"}
        assert own.client.delete(path(ids[0])).status_code == 404
        assert own.client.patch(path(ids[0]), json={"metadata": {}}).status_code == 404
        assert ids[0] not in [match["id"] for match in own.match(image(0))[0]["matches"]]
        answer = own.client.post("/v1/references/delete", json={"ids": [*ids[:3], "never"]}).json()
        statuses = ["missing", "deleted", "deleted", "missing"]
        assert answer["items"] == [
            {"id": name, "status": status} for name, status in zip([*ids[:3], "never"], statuses, strict=True)
        ]
        assert {match["id"] for match in own.match(image(0))[0]["matches"]} == set(ids[3:])
        entries = own.service.references.collection.audit()
        assert [entry.action for entry in entries] == ["add", "metadata", "metadata", "delete", "delete"]
        assert entries[-1].what == {"ids": ids[1:3]} and entries[-1].who == "anyone on this machine"


def test_thresholds_are_kept_in_the_collection(tmp_path: Path, bundle: Path) -> None:
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        own.add(image(1))
        assert own.client.get("/v1/thresholds").json() == {"match": 0.9, "review": 0.5}
        for wrong in (
            {"match": 0.4, "review": 0.5},
            {"match": 2, "review": 0},
            {"match": 1},
            {"match": "NaN", "review": 0},
        ):
            assert own.client.put("/v1/thresholds", json=wrong).status_code == 422
        for values, verdict in (({"match": 0, "review": 0}, "match"), ({"match": 1, "review": 0}, "review")):
            assert own.client.put("/v1/thresholds", json=values).json() == values
            assert own.match(image(2))[0]["matches"][0]["verdict"] == verdict
        assert own.service.references.collection.audit()[-1].action == "thresholds"
    with running(tmp_path / "refs.ct", bundle=bundle) as again:
        assert again.client.get("/v1/thresholds").json() == {"match": 1, "review": 0}


def test_what_is_deleted_goes_from_the_files_when_they_are_compacted(tmp_path: Path, bundle: Path) -> None:
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        own.add(*(image(i) for i in range(10)))
        with Collection.open(own.service.path) as collection:
            row = collection.descriptors()[0:1].tobytes()
        own.client.post("/v1/references/delete", json={"ids": [f"R{i:04d}" for i in range(8)]})
        assert any(row in file.read_bytes() for file in own.service.path.glob("*.segment"))
        own.service.references.compact()  # what is called now and then
        assert not any(row in file.read_bytes() for file in own.service.path.glob("*.segment"))
        assert {match["id"] for match in own.match(image(1))[0]["matches"]} == {"R0008", "R0009"}
