"""What the service refuses, and that what it refuses costs nobody else anything."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from services import Running, photo, running

from copytrace.engine.serve import batching
from copytrace.engine.serve.batching import Batcher, QueueFullError

from bundle_files import small_bundle

LIMITS = {"request_bytes": 100_000, "upload_bytes": 250_000, "request_images": 4, "queue_images": 6, "batch_images": 2}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "small")


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("tight") / "refs.ct"
    with running(path, bundle=bundle, request_seconds=60.0, **LIMITS) as found:
        found.add(("one.jpg", photo(1)))
        yield found


def is_well(tight: Running) -> bool:
    """Whether the service answers as before, and nothing is left of what was refused."""
    found = tight.match(("q", photo(1)))[0]["matches"][0]["id"] == "one"
    wait_for(lambda: tight.service.uploads.under_way == 0 and tight.service.batcher.waiting == 0)
    return found


def form(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A multipart body with these headers of parts and their contents."""
    body = b"".join(b"--B\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (h.encode(), c) for h, c in parts)
    return body + b"--B--\r\n", {"content-type": "multipart/form-data; boundary=B"}


FILE = 'name="images"; filename="a.jpg"'


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (415, photo(1), {}),
        (415, photo(1), {"content-type": "application/x-www-form-urlencoded"}),
        (415, b"{}", {"content-type": "application/json"}),
        (400, photo(1), {"content-type": "multipart/form-data"}),
        (400, photo(1), {"content-type": "multipart/form-data; boundary=B"}),
        (400, form((FILE, photo(1)))[0][:-30], {"content-type": "multipart/form-data; boundary=B"}),
        (400, b"", {"content-type": "multipart/form-data; boundary=B"}),
        (422, *form()),
        (422, *form(('name="images"', photo(1)))),
        (422, *form((FILE, photo(1)), ('name="nonsense"', b"1"))),
        (422, *form((FILE, photo(1)), ('name="ids"; filename="x"', b"1"))),
        (422, *form((FILE, photo(1)), ('name="ids"', b"["))),
        (422, *form((FILE, photo(1)), ('name="ids"', b'["a", "b"]'))),
        (422, *form((FILE, photo(1)), ('name="ids"', b"[1]"))),
        (422, *form((FILE, photo(1)), ('name="ids"', b'["a"]'), ('name="ids"', b'["b"]'))),
        (422, *form((FILE, photo(1)), ('name="metadata"', b"[[]]"))),
        (422, *form((FILE, photo(1)), ('name="metadata"', b'[{"a": NaN}]'))),
        (422, *form((FILE, photo(1)), ('name="metadata"', b"[" * 50_000))),
        (413, *form(*[(FILE, b"")] * 5)),
        (413, *form((FILE, b"x" * 100_001))),
    ],
)
def test_bodies_that_are_refused(tight: Running, status: int, body: bytes, headers: dict[str, str]) -> None:
    answer = tight.client.post("/v1/references", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"} and set(answer.json()["error"]) == {"code", "message"}
    assert len(tight.service.references) == 1


def test_other_requests_that_are_refused(tight: Running) -> None:
    for method, path, content, status in (
        ("POST", "/v1/match?k=0", b"", 422),
        ("POST", "/v1/match?k=x", b"", 422),
        ("POST", "/v1/match?verify=nonsense", b"", 422),
        ("POST", "/v1/match?kk=3", b"", 422),
        ("POST", "/v1/references/delete", b"[", 422),
        ("POST", "/v1/references/delete", b'{"ids": [1]}', 422),
        ("POST", "/v1/references/delete", b'{"ids": ["a\\u0000"]}', 422),
        ("POST", "/v1/references/delete", b'{"ids": ["\\ud800"]}', 422),
        ("PATCH", "/v1/references/one", b'{"a": 1}', 422),
        ("PATCH", "/v1/references/one", b'{"metadata": {"a": "\\ud800"}}', 422),
        ("PATCH", "/v1/references/one", b'{"metadata": {"a": NaN}}', 422),
        ("GET", "/v1/references?limit=0", b"", 422),
        ("GET", "/v1/references?after=%00", b"", 422),
        ("GET", "/v1/references/%00", b"", 422),
        ("GET", "/v1/references/" + "x" * 2000, b"", 422),
        ("GET", "/v1/references/..%2f..%2fetc%2fpasswd", b"", 404),
        ("GET", "/v1/references/%ff", b"", 404),
        ("GET", "/nothing", b"", 404),
        ("PUT", "/v1/match", b"", 405),
    ):
        answer = tight.client.request(method, path, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == status, (path, content, answer.text)
        assert set(answer.json()["error"]) == {"code", "message"}
    assert is_well(tight)


def test_a_body_that_is_far_too_large_is_answered(tight: Running) -> None:
    """Said beforehand or sent in pieces; the client sees the answer although it has more to send."""

    def pieces() -> Iterator[bytes]:
        for _ in range(300):
            yield b"x" * 1000

    for content in (b"x" * 300_000, pieces()):
        answer = tight.client.post("/v1/match?verify=none", content=content, headers={"content-type": "image/jpeg"})
        assert answer.status_code == 413
    assert is_well(tight)


def test_a_decompression_bomb_is_an_items_error(tmp_path: Path, bundle: Path) -> None:
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = (60_000).to_bytes(4, "big")
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + size + b"\x08\x02\0\0\0")
    bomb += chunk(b"IDAT", zlib.compress(b"\0" * 1_000_000)) + chunk(b"IEND", b"")
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        (item,) = own.match(("bomb.png", bomb))
        assert "pixels" in item["error"] and item["matches"] == []


def test_clients_that_are_slow_or_go_away(tmp_path: Path, bundle: Path) -> None:
    head = b"POST /v1/match HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: 50000\r\n\r\n"
    with running(tmp_path / "refs.ct", bundle=bundle, request_seconds=4.0) as own:
        host, port = own.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow, socket.create_connection((host, int(port))) as gone:
            gone.sendall(head + b"x" * 20_000)
            gone.close()
            begun = time.monotonic()
            slow.sendall(head + b"x" * 20_000)
            slow.settimeout(60)
            assert slow.recv(1000).startswith(b"HTTP/1.1 408")
            assert time.monotonic() - begun > 3
        wait_for(lambda: own.service.uploads.under_way == 0)
        assert own.match(("q", photo(1)))[0]["error"] is None


class Held:
    """Lets batches wait until they are let go."""

    def __init__(self, patch: pytest.MonkeyPatch, service: Any) -> None:
        self.go = threading.Event()
        self.begun = 0
        compute = service.batcher._compute

        def held(tasks: Sequence[Any]) -> Any:
            self.begun += len(tasks)
            assert self.go.wait(120)
            return compute(tasks)

        patch.setattr(service.batcher, "_compute", held)


@pytest.fixture
def held(tight: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    found = Held(monkeypatch, tight.service)
    yield found
    found.go.set()


def test_a_full_queue_answers_at_once_and_those_in_it_are_served(tight: Running, held: Held) -> None:
    """Two batches of two under way and six images waiting: then 503 with Retry-After, which is not what "down" looks like."""

    async def load() -> None:
        async with httpx.AsyncClient(base_url=tight.url, timeout=60) as client:

            def post(count: int) -> "asyncio.Task[httpx.Response]":
                files = [("images", (f"{i}", photo(1))) for i in range(count)]
                return asyncio.ensure_future(client.post("/v1/match?verify=none", files=files))

            waiting = [post(2), post(2)]
            await until(lambda: held.begun == 4)
            waiting += [post(3), post(2)]
            await until(lambda: tight.service.batcher.waiting == 5)
            begun = time.monotonic()
            refused = await post(2)  # one place is left
            assert time.monotonic() - begun < 10
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
            assert refused.json()["error"]["code"] == "busy"
            last = post(1)
            await until(lambda: tight.service.batcher.waiting == 6)
            assert (await client.get("/readyz")).status_code == 200
            assert 'copytrace_rejected_total{reason="queue"} 1.0' in (await client.get("/metrics")).text
            held.go.set()
            for answer in [*await asyncio.gather(*waiting), await last]:
                assert answer.status_code == 200
                assert all(item["matches"][0]["id"] == "one" for item in answer.json()["items"])

    asyncio.run(load())
    assert is_well(tight)


def test_what_nobody_waits_for_is_not_computed(tight: Running, held: Held) -> None:
    """A client that goes away gives its places in the queue back."""
    files = [("images", ("q", photo(1)))] * 2
    waiting = [
        threading.Thread(target=tight.client.post, args=("/v1/match?verify=none",), kwargs={"files": files})
        for _ in range(2)
    ]
    for thread in waiting:
        thread.start()
    wait_for(lambda: held.begun == 4)

    async def ask_and_go_away() -> None:
        async with httpx.AsyncClient(base_url=tight.url, timeout=60) as client:
            asking = asyncio.ensure_future(client.post("/v1/match?verify=none", files=files))
            await until(lambda: tight.service.batcher.waiting == 2)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(ask_and_go_away())
    wait_for(lambda: tight.service.batcher.waiting == 0)
    held.go.set()
    for thread in waiting:
        thread.join()
    assert held.begun == 4 and is_well(tight)


def test_a_request_that_takes_too_long(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path / "refs.ct", bundle=bundle, request_seconds=2.0) as own:
        held = Held(monkeypatch, own.service)
        late = own.client.post("/v1/match?verify=none", files={"images": ("q", photo(1))})
        assert late.status_code == 503 and "too long" in late.json()["error"]["message"]
        assert int(late.headers["retry-after"]) >= 1
        held.go.set()


def wait_for(what: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


async def until(what: Callable[[], bool]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, wait_for, what)


def test_two_adds_of_one_id_at_once(tmp_path: Path, bundle: Path) -> None:
    """One of them wins, the others are told; with replace every answer is true when it is given."""
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        statuses: list[str] = []

        def add(number: int) -> None:
            with httpx.Client(base_url=own.url, timeout=60) as client:
                answer = client.post("/v1/references", files={"images": ("same.jpg", photo(number))})
                statuses.append(answer.json()["items"][0]["status"])

        threads = [threading.Thread(target=add, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == ["added", *["error"] * 7]
        assert len(own.service.references) == 1 and own.service.references.collection.check() == []


def test_hostile_ids_and_metadata_come_back_as_they_were(tmp_path: Path, bundle: Path) -> None:
    ids = [
        "../../etc/passwd",
        "<script>alert(1)</script>",
        "'; DROP TABLE reference; --",
        "a\nb\r\n",
        "\u202e\U0001f4a9",
        ".",
    ]
    metadata = [{"<b>": name, "n": 10**30, "deep": [[[[]]]]} for name in ids]
    with running(tmp_path / "refs.ct", bundle=bundle) as own:
        data = {"ids": json.dumps(ids), "metadata": json.dumps(metadata)}
        added = own.add(*(("x", photo(i)) for i in range(len(ids))), data=data)["items"]
        assert [item["status"] for item in added] == ["added"] * len(ids), added
        items = own.client.get("/v1/references").json()["items"]
        assert {item["id"]: item["metadata"] for item in items} == dict(zip(ids, metadata, strict=True))
        refused = own.add(("x", photo(20)), data={"ids": json.dumps(["x" * 1025])})["items"]
        assert refused[0]["status"] == "error"
        names = own.add(("C:\\pictures\\ä b.jpg", photo(21)), ("../up.tar.gz.jpg", photo(22)))["items"]
        assert [item["id"] for item in names] == ["ä b", "up.tar.gz"]
        deleted = own.client.post("/v1/references/delete", json={"ids": ids}).json()["items"]
        assert {item["status"] for item in deleted} == {"deleted"}


def test_a_batch_begins_at_once_or_gathers_beside_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes one after the other while a batch is under way is computed together, soon and before that one ends."""
    monkeypatch.setattr(batching, "GATHER_SECONDS", 0.5)  # a busy machine takes longer to submit five than it gathers

    def compute(tasks: Sequence[int]) -> list[int]:
        assert 0 not in tasks or go.wait(60)
        return list(tasks)

    async def run() -> None:
        sizes: list[int] = []
        batcher: Batcher[int, int] = Batcher(compute, most=50, batch=8, slots=2, observe=sizes.append)
        first = batcher.submit([0])
        await asyncio.sleep(0)
        assert sizes == [1]
        others = [future for i in range(1, 6) for future in batcher.submit([i])]
        await asyncio.gather(*others)
        assert sizes == [1, 5] and not first[0].done()
        full = batcher.submit(range(11, 19))
        await asyncio.sleep(0)
        assert sizes == [1, 5, 8]
        go.set()
        await asyncio.gather(*first, *full)
        await batcher.close()

    go = threading.Event()
    asyncio.run(run())


def test_a_batcher_keeps_order_and_survives_errors() -> None:
    """Whatever comes together; an error of a batch is that of its tasks alone."""

    def compute(tasks: Sequence[int]) -> list[int]:
        time.sleep(0.001)
        if 13 in tasks:
            raise ValueError("unlucky")
        return [2 * task for task in tasks]

    async def run() -> None:
        sizes: list[int] = []
        batcher: Batcher[int, int] = Batcher(compute, most=50, batch=8, slots=2, observe=sizes.append)
        futures = [*batcher.submit(range(3)), *batcher.submit(range(20, 60))]
        with pytest.raises(QueueFullError):
            batcher.submit(range(40))
        futures[30].cancel()
        unlucky = batcher.submit([13])
        results = await asyncio.gather(*futures, *unlucky, return_exceptions=True)
        assert isinstance(results[-1], ValueError)
        expected = [2 * task for task in (*range(3), *range(20, 60))]
        whole = [i for i, one in enumerate(results[:-1]) if not isinstance(one, BaseException)]
        assert len(whole) >= 42 - 8 and all(results[i][0] == expected[i] for i in whole)
        assert max(sizes) == 8 and sum(sizes) == 43 and batcher.waiting == 0
        await batcher.close()

    asyncio.run(run())
