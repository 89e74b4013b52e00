"""Imports from the service's own machine."""

import time
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from services import Running, photo, running

from copytrace.engine import Collection, CollectionError
from copytrace.engine.collection.found_duplicates import FoundDuplicates
from copytrace.engine.serve import duplicates
from copytrace.engine.serve.jobs import Jobs
from copytrace.engine.serve.live import LiveReferences

from bundle_files import small_bundle
from tars import member, tar_of


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "small")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "allowed" / "photos"
    folder.mkdir(parents=True)
    for i in range(40):
        (folder / f"R{i:04d}.jpg").write_bytes(photo(i))
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff no image")
    return folder


def ended(own: Running, name: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while (job := own.client.get(f"/v1/jobs/{name}").json())["status"] in ("waiting", "running"):
        assert time.monotonic() < end
        time.sleep(0.05)
    return job


def test_an_import_again_and_cut_off(tmp_path: Path, bundle: Path, photos: Path) -> None:
    settings = {"bundle": bundle, "jobs_from": (tmp_path / "allowed",)}
    with running(tmp_path / "refs.ct", **settings) as own:
        own.add(("R0001.jpg", photo(50)))
        first = own.client.post("/v1/jobs", json={"source": str(photos)})
        assert first.status_code == 202
        own.match(("q", photo(1)))  # the service goes on answering
    with running(tmp_path / "refs.ct", **settings) as own:  # it was cut off, or not begun
        job = ended(own, first.json()["id"])
        assert (job["status"], job["images"], job["done"], job["failed"]) == ("finished", 41, 41, 2)
        assert job["added"] + job["unchanged"] == 39
        assert {one["id"] for one in job["failures"]} == {"bad", "R0001"}
        assert own.client.get("/v1/references").json()["count"] == 40
        again = own.client.post("/v1/jobs", json={"source": str(photos), "replace": True}).json()
        job = ended(own, again["id"])
        assert (job["added"], job["replaced"], job["unchanged"], job["failed"]) == (0, 1, 39, 1)
        assert own.match(("q", photo(1)), k=1)[0]["matches"][0]["id"] == "R0001"
        assert [one["id"] for one in own.client.get("/v1/jobs").json()["items"]] == [job["id"], first.json()["id"]]
        refused = own.client.post(f"/v1/jobs/{job['id']}/cancel")
        assert refused.status_code == 409 and own.client.get("/v1/jobs/none").status_code == 404
        assert own.service.references.collection.check() == []


def test_an_import_keeps_what_stands_beside_images(tmp_path: Path, bundle: Path) -> None:
    with running(tmp_path / "refs.ct", bundle=bundle, jobs_from=(tmp_path,)) as own:
        texts = {"R1": b'{"n": 1}', "R2": b"[]"}
        members = [
            (member(f"{name}.jpg", photo(i)), member(f"{name}.json", texts[name])) for i, name in enumerate(texts)
        ]
        (tmp_path / "a.tar").write_bytes(tar_of(*(one for pair in members for one in pair)))
        job = ended(own, own.client.post("/v1/jobs", json={"source": str(tmp_path / "a.tar")}).json()["id"])
        assert (job["added"], job["failed"], job["without_metadata"]) == (2, 0, 1)
        assert job["failures"] == [{"id": "R2", "reason": "no metadata: R2.json: its JSON is no object"}]
        kept = {one["id"]: one["metadata"] for one in own.client.get("/v1/references").json()["items"]}
        assert kept == {"R1": {"n": 1}, "R2": {}}


def after_the_next(own: Running, name: str) -> tuple[str, int]:
    """A job's status, and how many references there are, when the one after it has ended: it has had its turn."""
    following = own.client.post("/v1/jobs", json={"kind": "duplicates"}).json()
    assert ended(own, following["id"])["status"] == "finished"
    return own.client.get(f"/v1/jobs/{name}").json()["status"], own.client.get("/v1/references").json()["count"]


def test_a_cancelled_import_goes_no_further(
    tmp_path: Path, bundle: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, add_some = Event(), Event(), Jobs._import

    def held(jobs: Jobs, images: Any, job: Any) -> None:
        begun.set()
        assert go.wait(60)
        add_some(jobs, images, job)

    monkeypatch.setattr(Jobs, "_import", held)
    with running(tmp_path / "refs.ct", bundle=bundle, jobs_from=(tmp_path,)) as own:
        assert own.client.get("/v1/jobs").json() == {"items": []}
        name = own.client.post("/v1/jobs", json={"source": str(photos)}).json()["id"]
        assert begun.wait(60)
        assert own.client.post(f"/v1/jobs/{name}/cancel").json()["status"] == "cancelled"
        go.set()
        assert after_the_next(own, name) == ("cancelled", 16)


def test_a_job_cancelled_just_before_its_turn_does_nothing(
    tmp_path: Path, bundle: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cancel comes when it has been seen to wait, and has not begun."""
    work = Jobs._work

    def work_late(jobs: Jobs, job: Any) -> None:
        if job.kind == "import":
            jobs.cancel(job.id)
        work(jobs, job)

    monkeypatch.setattr(Jobs, "_work", work_late)
    with running(tmp_path / "refs.ct", bundle=bundle, jobs_from=(tmp_path,)) as own:
        name = own.client.post("/v1/jobs", json={"source": str(photos)}).json()["id"]
        assert after_the_next(own, name) == ("cancelled", 0)


def test_nothing_else_can_be_read(tmp_path: Path, bundle: Path, photos: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "one.jpg").write_bytes(photo(1))
    (photos / "link").symlink_to(secret)
    with running(tmp_path / "refs.ct", bundle=bundle, jobs_from=(tmp_path / "allowed",)) as own:
        for source in (
            str(secret),
            f"{photos}/../../secret",
            f"{photos}/link",
            f"{photos}/none",
            "/etc/passwd",
            "",
            "a\0b",
            "x" * 5000,
            "http://127.0.0.1/",
        ):
            answer = own.client.post("/v1/jobs", json={"source": source})
            assert answer.status_code == 403, source
            assert str(secret) not in answer.text
        (photos.parent / "linked").mkdir()
        (photos.parent / "linked" / "one.jpg").symlink_to(secret / "one.jpg")
        (photos.parent / "list.txt").write_text(f"{secret}/one.jpg\n")
        (photos.parent / "empty").mkdir()
        for name, error in (("linked", "leads out"), ("list.txt", "leads out"), ("empty", "no images")):
            job = ended(own, own.client.post("/v1/jobs", json={"source": f"{photos.parent}/{name}"}).json()["id"])
            assert job["status"] == "failed" and error in job["error"], job
        assert own.client.get("/v1/references").json()["count"] == 0


def pairs_of(own: Running, name: str, **params: int) -> list[tuple[str, str]]:
    answer = own.client.get(f"/v1/jobs/{name}/duplicates", params=params)
    assert answer.status_code == 200, answer.text
    return [tuple(sorted((item["first"], item["second"]))) for item in answer.json()["items"]]


def test_duplicates_within_the_collection(tmp_path: Path, bundle: Path) -> None:
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        own.add(*((f"R{i}.jpg", photo(i)) for i in range(20)), ("copy.jpg", photo(3)), ("again.jpg", photo(3)))
        rows = own.service.references.collection.descriptors()
        distances = np.linalg.norm(rows[:][:, None] - rows[:][None], axis=2)
        limit = float(np.sort(distances[np.triu_indices(22, 1)])[40])
        expected = {
            (rows.ids[i], rows.ids[j]) for i, j in zip(*np.nonzero(np.triu(distances <= limit, 1)), strict=True)
        }
        job = own.client.post("/v1/jobs", json={"kind": "duplicates", "max_distance": limit + 1e-6}).json()
        early = own.client.get(f"/v1/jobs/{job['id']}/duplicates").status_code
        finished = ended(own, job["id"])
        assert early in (200, 409) and finished["status"] == "finished"
        assert (finished["kind"], finished["source"], finished["images"], finished["done"]) == (
            "duplicates",
            None,
            22,
            22,
        )
        found = pairs_of(own, job["id"])
        assert set(found) == expected and len(found) == finished["pairs"] == 41
        assert set(found[:3]) == {("R3", "copy"), ("R3", "again"), ("again", "copy")}  # at a distance of 0
        first = own.client.get(f"/v1/jobs/{job['id']}/duplicates", params={"limit": 30}).json()
        assert pairs_of(own, job["id"], after=first["next"]) == found[30:]
        assert [item["distance"] for item in first["items"]] == sorted(item["distance"] for item in first["items"])
        own.client.delete("/v1/references/copy")
        own.add(("again.jpg", photo(30)), params={"replace": "true"})
        assert set(pairs_of(own, job["id"])) == {pair for pair in expected if not {"copy", "again"} & set(pair)}
        usual = ended(own, own.client.post("/v1/jobs", json={"kind": "duplicates"}).json()["id"])
        assert usual["max_distance"] == 0.65
        for wrong in ({"source": "/x"}, {"replace": True}, {"max_distance": -1}, {"max_distance": "NaN"}):
            assert own.client.post("/v1/jobs", json={"kind": "duplicates"} | wrong).status_code == 422, wrong
        for wrong in ({}, {"kind": "import"}, {"source": "/x", "max_distance": 1}, {"kind": "other"}):
            assert own.client.post("/v1/jobs", json=wrong).status_code == 422, wrong
        assert own.client.get("/v1/jobs/none/duplicates").status_code == 404
        kept = pairs_of(own, job["id"])
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        assert pairs_of(own, job["id"]) == kept
        own.service.jobs._found.save("new", [], keep=[usual["id"]])
        assert pairs_of(own, job["id"]) == []  # goes when its job is kept no more


def test_duplicates_are_bounded_and_damage_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 6)
    monkeypatch.setattr(duplicates, "_ROWS", 4)
    ids = [f"r{i:02d}" for i in range(12)]
    rows = np.arange(12, dtype=np.float32)[:, None] ** 1.5 * np.ones((1, 4), np.float32)
    with Collection.create(tmp_path / "refs.ct", 4) as collection, Collection.open(tmp_path / "refs.ct") as reader:
        collection.add(ids, rows)
        live = LiveReferences(collection, reader)
        live.load()
        gone = reader.find(["r02"])["r02"].number
        live.index.remove(["r02"])  # deleted after it was listed
        found = duplicates.duplicate_pairs(live, 1e200, lambda done: True)
        distances = [distance for _, _, distance in found]
        assert len(found) == 6 and distances == sorted(distances) and all(gone not in pair[:2] for pair in found)
        assert distances[0] == 2.0  # of r00 and r01, in four columns
        steps: list[int] = []
        duplicates.duplicate_pairs(live, 1.0, lambda done: steps.append(done) or done < 8)
        assert steps == [0, 4, 8]
        with FoundDuplicates(tmp_path / "refs.ct") as kept:
            kept.save("job", found, keep=())
            assert [pair.distance for pair in kept.page("job")] == distances
            kept._catalogue.connection.execute("UPDATE duplicate SET distance = 0")
            with pytest.raises(CollectionError, match="damaged"):
                kept.page("job")


def test_an_unforeseen_failure_ends_one_job_alone(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise RuntimeError("unforeseen")

    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        with monkeypatch.context() as patch:
            patch.setattr("copytrace.engine.serve.jobs.duplicate_pairs", fail)
            failed = ended(own, own.client.post("/v1/jobs", json={"kind": "duplicates"}).json()["id"])
        assert failed["status"] == "failed" and "traceback" in failed["error"]
        assert own.client.get(f"/v1/jobs/{failed['id']}/duplicates").status_code == 409
        assert ended(own, own.client.post("/v1/jobs", json={"kind": "duplicates"}).json()["id"])["status"] == "finished"
