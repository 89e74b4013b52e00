"""Bodies in JSON that are too large, slow or cut off, also from those without a key; ids in paths that lead elsewhere."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import Running, photo, running

from copytrace.engine.serve.small_bodies import MOST_BYTES

from bundle_files import small_bundle

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Nobody has a key: what is read is read before anybody is known."""
    folder = tmp_path_factory.mktemp("bodies")
    with running(
        folder / "refs.ct", bundle=small_bundle(folder / "bundle"), no_auth=False, request_seconds=4.0
    ) as found:
        yield found


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/jobs"), ("POST", "/v1/references/delete"), ("PATCH", "/v1/references/x"), ("PUT", "/v1/thresholds")],
)
def test_a_large_body_in_json_is_not_taken_in(guarded: Running, method: str, path: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(3 * MOST_BYTES // 100_000):
            yield b" " * 100_000

    for content in (b" " * (MOST_BYTES + 1), endless()):
        answer = guarded.client.request(method, path, content=content, headers=JSON)
        assert answer.status_code == 413 and answer.json()["error"]["code"] == "body", answer.text
    answer = guarded.client.request(method, path, content=b"{}" + b" " * (MOST_BYTES - 2), headers=JSON)
    assert answer.status_code in (401, 422)


def test_a_slow_body_in_json_is_waited_for_no_longer_than_others(guarded: Running) -> None:
    host, port = guarded.url.removeprefix("http://").split(":")
    head = f"POST /v1/references/delete HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as slow:
        begun = time.monotonic()
        slow.sendall(head.encode() + b'Content-Length: 100\r\n\r\n{"ids":')
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        assert 3 < time.monotonic() - begun < 25
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(head.encode() + b"Content-Length: 100\r\n\r\n{")
    assert guarded.client.get("/healthz").status_code == 200


def test_depth_and_odd_values_are_no_errors_of_the_service(guarded: Running) -> None:
    for content in (b"[" * 100_000, b'{"ids":' * 50_000, b"\xff\xfe", b'{"ids": 1e999}', b"null", b'"', b"\0"):
        for method, path in (("POST", "/v1/references/delete"), ("PATCH", "/v1/references/x"), ("POST", "/v1/jobs")):
            answer = guarded.client.request(method, path, content=content, headers=JSON)
            assert answer.status_code in (400, 401, 422), (path, content[:20], answer.text)


def test_ids_and_names_of_jobs_that_lead_elsewhere(tmp_path: Path) -> None:
    """They are names and nothing else, wherever they stand in a path."""
    with running(tmp_path / "refs.ct", bundle=small_bundle(tmp_path / "bundle")) as own:
        for name in ("..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/refs.ct", "%2fetc%2fpasswd", "..%5c..%5cx", "~root"):
            for path in ("references", "thumbnails", "jobs"):
                answer = own.client.get(f"/v1/{path}/{name}")
                assert answer.status_code in (404, 405), (path, name, answer.text)
            assert own.client.delete(f"/v1/references/{name}").status_code == 404
            assert own.client.post(f"/v1/jobs/{name}/cancel").status_code in (404, 405)
        names = ["../../escaped", "/tmp/escaped", "..", "refs.ct/lock"]
        before = files(tmp_path, own.service.path)
        added = own.add(*(("x", photo(i)) for i in range(4)), data={"ids": json.dumps(names)})["items"]
        assert [item["status"] for item in added] == ["added"] * 4
        assert own.client.get("/v1/references/..%2F..%2Fescaped").json()["id"] == names[0]
        assert files(tmp_path, own.service.path) == before


def files(folder: Path, apart_from: Path) -> dict[Path, int]:
    """Times of all files in a folder but those of a collection."""
    found = (path for path in folder.rglob("*") if path.is_file() and apart_from not in path.parents)
    return {path: path.stat().st_mtime_ns for path in found}
