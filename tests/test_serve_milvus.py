"""The service with an index in Milvus: what it acknowledges is found, what is gone is not, and no Milvus is no answer."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from services import Running, photo, running

from copytrace.engine import Collection, MilvusError, ServiceError
from copytrace.engine.milvus import MilvusAddress
from copytrace.engine.milvus_index import index_state, open_candidates, open_index
from copytrace.engine.serve import load_settings

from bundle_files import small_bundle
from kills import kill_over_and_over
from lite import LiteServer, lite_server

pytest.importorskip("pymilvus", reason="needs the extra milvus")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiteServer]:
    with lite_server(tmp_path / "data") as started:
        yield started


def best(service: Running, number: int) -> str:
    (item,) = service.match(("q", photo(number)), k=1)
    return item["matches"][0]["id"]


def found(service: Running, number: int) -> list[str]:
    (item,) = service.match(("q", photo(number)), k=50)
    return [match["id"] for match in item["matches"]]


def add(service: Running, number: int) -> httpx.Response:
    return service.client.post("/v1/references", files=[("images", (f"{number}.jpg", photo(number)))])


def asked(service: Running, number: int) -> httpx.Response:
    files = [("images", ("q", photo(number)))]
    return service.client.post("/v1/match", files=files, params={"verify": "none"})


def test_adds_and_deletes_go_to_both(tmp_path: Path, bundle: Path) -> None:
    path, address = tmp_path / "refs.ct", f"milvus://{tmp_path}/x.db"
    with running(path, bundle=bundle) as exact:
        exact.add(*((f"{n}.jpg", photo(n)) for n in range(12)))
        expected = [item["matches"] for item in exact.match(("q", photo(3)), ("q", photo(50)), k=12)]
        assert asked(exact, 3).json()["exact"] is True
    with running(path, bundle=bundle, index=address) as service:
        assert [item["matches"] for item in service.match(("q", photo(3)), ("q", photo(50)), k=12)] == expected
        assert asked(service, 3).json()["exact"] is False
        service.add(("new.jpg", photo(60)))
        assert best(service, 60) == "new"
        assert service.client.delete("/v1/references/new").status_code == 200
        assert "new" not in found(service, 60)
        service.add(("3.jpg", photo(61)), params={"replace": "true"})
        assert best(service, 61) == "3" and best(service, 3) != "3"
        assert len(found(service, 3)) == len(set(found(service, 3))) == 12
        assert "copytrace_index_bytes 0.0" in service.client.get("/metrics").text
    with Collection.open(path) as collection:
        stored = open_index(MilvusAddress.parse(address), collection)
        assert index_state(stored, collection) is not None, "the next start has nothing to compare"
        stored.close()
    with running(path, bundle=bundle, index=address) as again:
        stored = again.service.references.index
        assert best(again, 61) == "3" and len(stored) == 12  # type: ignore[arg-type]


def test_a_second_look_by_an_index(tmp_path: Path) -> None:
    path, address = tmp_path / "refs.ct", f"milvus://{tmp_path}/x.db"
    with running(path) as exact:
        exact.add(*((f"{n}.jpg", photo(n)) for n in range(6)))
        expected = exact.match(("q", photo(4)), verify="candidates")
    with running(path, index=address) as service:
        got = service.match(("q", photo(4)), verify="candidates")
        assert [item["matches"] for item in got] == [item["matches"] for item in expected]
        lookup = service.client.post("/m/lookup", files={"photo": ("p", photo(4))}).json()
        assert [bank for by_bank in lookup.values() for bank in by_bank] == ["REFERENCES"]
        assert got[0]["matches"][0]["id"] == "4" and got[0]["matches"][0]["verdict"] == "match"


def test_a_milvus_that_is_down_is_503_and_nothing_is_kept(tmp_path: Path, bundle: Path, server: LiteServer) -> None:
    with running(tmp_path / "refs.ct", bundle=bundle, index=server.address()) as service:
        service.add(*((f"{n}.jpg", photo(n)) for n in range(4)))
        server.kill()
        answer = asked(service, 2)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json() == {
            "error": {"code": "index", "message": "the index cannot be asked or changed; the log says why"}
        }
        add = service.client.post("/v1/references", files=[("images", ("late.jpg", photo(9)))])
        assert add.status_code == 503
        assert service.client.get("/v1/references/late").status_code == 404
        embed = service.client.post("/v1/embed", files=[("images", ("e", photo(2)))])
        assert embed.status_code == 200, "which needs no index"
        assert service.client.delete("/v1/references/1").status_code == 200
        server.start()
        for _ in range(600):
            if asked(service, 2).status_code == 200:
                break
            time.sleep(0.1)
        assert sorted(found(service, 1)) == ["0", "2", "3"], "its row may still be in Milvus"
        service.add(("late.jpg", photo(9)))
        assert best(service, 9) == "late"
    with running(tmp_path / "refs.ct", bundle=bundle, index=server.address()) as service:
        assert sorted(found(service, 9)) == ["0", "2", "3", "late"]


def test_a_change_that_the_collection_refuses_leaves_nothing(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path / "refs.ct", bundle=bundle, index=f"milvus://{tmp_path}/x.db") as service:
        service.add(("0.jpg", photo(0)))
        references = service.service.references

        def refuse(*arguments: object, **named: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(references.collection._files, "append", refuse)
            failed = service.client.post("/v1/references", files=[("images", ("1.jpg", photo(1)))])
            assert failed.status_code == 507, failed.text
        assert found(service, 1) == ["0"]
        service.add(("2.jpg", photo(2)))  # under the number that was not given
        assert sorted(found(service, 1)) == ["0", "2"] and best(service, 2) == "2"


def test_a_full_disk_is_507(tmp_path: Path, bundle: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        with running(tmp_path / "refs.ct", bundle=bundle, index=f"milvus://{disk}/x.db") as service:
            service.add(("0.jpg", photo(0)))
            (disk / "filler").write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
            added = 1
            while (full := add(service, added)).status_code == 200:
                added += 1  # into what is left of the last block
            assert (full.status_code, full.json()["error"]["code"]) == (507, "full")
            assert len(found(service, 1)) == added
            (disk / "filler").unlink()
            assert add(service, added).status_code == 200
            assert best(service, added) == str(added)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_changes_made_without_the_service_are_made_up_for(tmp_path: Path, bundle: Path, server: LiteServer) -> None:
    path = tmp_path / "refs.ct"
    with running(path, bundle=bundle, index=server.address()) as service:
        service.add(*((f"{n}.jpg", photo(n)) for n in range(5)))
    with running(path, bundle=bundle) as without:
        without.add(("5.jpg", photo(5)))
        without.client.delete("/v1/references/0")
    with running(path, bundle=bundle, index=server.address()) as service:
        assert best(service, 5) == "5"
        assert sorted(found(service, 0)) == ["1", "2", "3", "4", "5"]


def test_others_may_search_beside_a_service(tmp_path: Path, bundle: Path, server: LiteServer) -> None:
    """What it has changed is there for them as soon as it has written down of which state the index is."""
    path, address = tmp_path / "refs.ct", MilvusAddress.parse(server.address())
    with running(path, bundle=bundle, index=server.address()) as service:
        service.add(("0.jpg", photo(0)))
        with (
            pytest.raises(
                MilvusError, match=r"is not of the collection's present state, and stays so: .* is being changed"
            ),
            open_candidates(address, path),
        ):
            pass
        service.service.references.settle()
        with open_candidates(address, path) as (_, state):
            assert (state.rows, state.added, state.removed) == (1, 0, 0)


def test_kills_lose_nothing_that_was_acknowledged(tmp_path: Path, bundle: Path) -> None:
    index = ("--index", f"milvus://{tmp_path}/x.db")
    assert "2 kills" in kill_over_and_over(tmp_path / "refs.ct", bundle, *index, kills=2, clients=4)


def test_a_service_without_its_milvus_does_not_start(tmp_path: Path, bundle: Path) -> None:
    with (
        pytest.raises(MilvusError, match=r"^milvus://127\.0\.0\.1:9/refs: does not answer$"),
        running(tmp_path / "refs.ct", bundle=bundle, index="milvus://127.0.0.1:9/refs"),
    ):
        pass
    Collection.open(tmp_path / "refs.ct", write=True).close()  # nobody holds it


def test_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPYTRACE_INDEX", "milvus://h/refs")
    monkeypatch.setenv("COPYTRACE_MILVUS_TOKEN", "user:secret")
    assert load_settings({}).index == "milvus://h/refs"
    with pytest.raises(ServiceError, match=r"index: .*the collection's name must be of letters"):
        load_settings({"index": "milvus://h"})
