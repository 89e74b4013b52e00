"""Imports from the service's own machine."""

import time
from pathlib import Path
from typing import Any

import pytest
from services import Running, photo, running

from bundle_files import small_bundle


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


def test_a_cancelled_import_goes_no_further(tmp_path: Path, bundle: Path, photos: Path) -> None:
    with running(tmp_path / "refs.ct", bundle=bundle, jobs_from=(tmp_path,)) as own:
        assert own.client.get("/v1/jobs").json() == {"items": []}
        name = own.client.post("/v1/jobs", json={"source": str(photos)}).json()["id"]
        assert own.client.post(f"/v1/jobs/{name}/cancel").json()["status"] == "cancelled"
        time.sleep(0.5)
        count = own.client.get("/v1/references").json()["count"]
        assert count <= 32 and ended(own, name)["status"] == "cancelled"


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
