"""The clients, sync and async, and ``copytrace client``, against a service that runs."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from services import Running, photo, running

from copytrace.engine import SourceError
from copytrace.engine.client import AsyncClient, Client, RequestFailedError, asynchronous, calls, synchronous

from bundle_files import small_bundle
from conftest import PHOTOS
from in_process import run


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("client")
    with running(folder / "refs.ct", bundle=small_bundle(folder / "bundle"), request_images=40) as found:
        yield found


@pytest.fixture
def client(served: Running) -> Iterator[Client]:
    with Client(served.url) as found:
        found.delete([one.id for one in found.references()])
        yield found


def path(number: int) -> Path:
    return PHOTOS / "references" / f"R{number:04d}.jpg"


def test_every_method(client: Client, served: Running) -> None:
    assert client.is_ready()
    added = client.add([path(1), str(path(2)), ("other.png", photo(3))], metadata=[{"a": 1}, None, None]).items
    assert [(item.id, item.status) for item in added] == [(name, "added") for name in ("R0001", "R0002", "other")]
    assert client.add(photo(4), ids=["id/with ?"]).items[0].status == "added"
    assert client.get("id/with ?").size == len(photo(4)) and client.get("R0001").metadata == {"a": 1}
    assert client.patch("R0001", {"a": None, "b": 2}).metadata == {"b": 2}
    found = client.match([photo(4), ("bad", b"")], k=1).items
    assert found[0].matches[0].id == "id/with ?" and found[1].error and found[1].name == "bad"
    assert (
        found[0].matches[0].score == served.match(("q", photo(4)), k=1, verify="candidates")[0]["matches"][0]["score"]
    )
    assert client.embed(path(1), role="query").dimension == 8
    assert [one.id for one in client.references()] == ["R0001", "R0002", "id/with ?", "other"]
    assert [one.id for one in client.references(after="R0002")] == ["id/with ?", "other"]
    statuses = [(item.id, item.status) for item in client.delete(["other", "never"]).items]
    assert statuses == [("other", "deleted"), ("never", "missing")]
    with pytest.raises(RequestFailedError, match="no reference") as error:
        client.get("other")
    assert (error.value.status, error.value.code) == (404, "missing")


def test_add_many_in_order_by_several_requests_and_again(client: Client) -> None:
    numbers = range(40)
    done: list[int] = []
    for status in ("added", "unchanged"):
        items = client.add_many(
            (photo(i) for i in numbers),
            ids=(f"n{i:02d}" for i in numbers),
            metadata=({"n": i} for i in numbers),
            progress=done.append,
        )
        assert [(item.id, item.status) for item in items] == [(f"n{i:02d}", status) for i in numbers]
    assert done == [32, 40, 32, 40]
    assert client.get("n37").metadata == {"n": 37}
    with pytest.raises(ValueError, match="more images than ids"):
        list(client.add_many([photo(1), photo(2)], ids=["one"]))


def test_the_same_async(served: Running, client: Client) -> None:
    async def use() -> None:
        async with AsyncClient(served.url) as other:
            assert await other.is_ready()
            items = [item async for item in other.add_many([path(i) for i in range(5)])]
            assert [item.status for item in items] == ["added"] * 5
            assert (await other.add(path(9), metadata=[{"x": "y"}])).items[0].id == "R0009"
            assert await other.match(path(3), k=3) is not None
            assert (await other.match(path(3), k=1)).items == client.match(path(3), k=1).items
            assert (await other.embed(path(3))).items == client.embed(path(3)).items
            assert [one async for one in other.references()] == list(client.references())
            assert (await other.get("R0009")).metadata == {"x": "y"}
            assert (await other.patch("R0009", {"z": 1})).metadata == {"x": "y", "z": 1}
            assert (await other.delete("R0009")).items[0].status == "deleted"
            with pytest.raises(RequestFailedError, match="no reference"):
                await other.get("R0009")

    asyncio.run(use())


class Faulty(httpx.HTTPTransport):
    """The real thing, after it has failed in these ways."""

    def __init__(self, *faults: int | type[Exception]) -> None:
        super().__init__()
        self.faults = list(faults)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not self.faults:
            return super().handle_request(request)
        fault = self.faults.pop(0)
        if isinstance(fault, int):
            return httpx.Response(
                fault, headers={"retry-after": "0"}, json={"error": {"code": "x", "message": "later"}}
            )
        super().handle_request(request).close()  # it was done, but the answer is lost on the way
        raise fault("lost")


def test_what_may_pass_is_tried_again(served: Running, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_FIRST_WAIT", 0.001)
    with Client(served.url, transport=Faulty(503, httpx.ReadError, 429, httpx.ConnectError)) as other:
        assert other.add(path(1)).items[0].status == "unchanged"  # an attempt whose answer was lost has added it
    with Client(served.url, transport=Faulty(500)) as other, pytest.raises(RequestFailedError, match="later") as error:
        other.add(path(2))
    assert error.value.status == 500
    with Client(served.url, transport=Faulty(*[503] * 50)) as other, pytest.raises(RequestFailedError) as error:
        other.match(path(2))
    assert error.value.status == 503 and error.value.code == "x"
    with Client("http://127.0.0.1:9", seconds=1) as other:
        assert not other.is_ready()
        with pytest.raises(RequestFailedError, match="cannot be reached") as error:
            other.match(path(2))
    assert error.value.status == 0


def test_wrong_arguments(client: Client, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        client.match(tmp_path / "none.jpg")
    with pytest.raises(TypeError, match="an image must be"):
        client.match([1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="ids must have one value"):
        client.add([photo(1)], ids=["a", "b"])
    with pytest.raises(ValueError, match="no images"):
        client.match([])


def shell(served: Running, *arguments: object, code: int = 0) -> dict[str, object]:
    """What ``copytrace client`` answers."""
    result = run("client", *arguments, "--json", "--url", served.url, code=code)
    assert "Traceback" not in result.stderr, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def doubtful(client: Client, served: Running) -> Iterator[list[int]]:
    """Numbers of pairs that wait for a decision, the newest first."""
    before = served.client.get("/v1/thresholds").json()
    served.client.put("/v1/thresholds", json={"match": 1, "review": 0})
    client.add([photo(1), photo(2), photo(3)], ids=["one", "two\x1b[2J", "three"])
    client.match(("a\tpicture", photo(9)), verify="none")
    yield [review.id for review in client.reviews()]
    served.client.put("/v1/thresholds", json=before)


def test_reviews_are_listed_decided_and_taken_back(
    client: Client, doubtful: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synchronous, "_PAGE", 2)
    monkeypatch.setattr(asynchronous, "_PAGE", 2)
    assert [review.id for review in client.reviews()] == doubtful and len(doubtful) == 3
    order = [abs(review.probability - 0.5) for review in client.reviews(order="doubtful")]
    assert order == sorted(order)
    for review in client.reviews():  # they may be decided on while they are listed
        assert client.decide(review.id, "reject").decision == "reject"
    assert list(client.reviews()) == [] and len(list(client.reviews(decided=True))) == 3
    assert client.decide(doubtful[0], None).decision is None
    with pytest.raises(RequestFailedError, match="no review") as error:
        client.decide(10**6, "accept")
    assert error.value.status == 404

    async def use() -> None:
        async with AsyncClient(str(client._http.base_url)) as other:
            assert [review.id async for review in other.reviews()] == doubtful[:1]
            assert len([review async for review in other.reviews(order="doubtful", decided=True)]) == 2
            assert (await other.decide(doubtful[0], "accept")).decision == "accept"

    asyncio.run(use())
    assert {review.id: review.decision for review in client.reviews(decided=True)} == dict(
        zip(doubtful, ["accept", "reject", "reject"], strict=True)
    )


def test_reviews_from_a_shell(served: Running, doubtful: list[int]) -> None:
    items = shell(served, "reviews", "--limit", 2)["items"]
    assert [item["id"] for item in items] == doubtful[:2]
    lines = run("client", "reviews", "--url", served.url).stdout.splitlines()
    assert len(lines) == 3 and all(line.count("\t") == 5 and "\x1b" not in line for line in lines)
    assert shell(served, "decide", "accept", *doubtful) == {"decided": 3, "missing": []}
    assert shell(served, "reviews") == {"items": []}
    assert shell(served, "decide", "undo", doubtful[0], 10**6, code=1) == {"decided": 1, "missing": [10**6]}
    decided = {item["id"] for item in shell(served, "reviews", "--decided")["items"]}
    assert decided & set(doubtful) == set(doubtful[1:])
    assert run("client", "decide", "accept", 0, "--url", served.url, code=2)


def test_from_a_shell(client: Client, served: Running, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        (folder / f"ä {i}.jpg").write_bytes(photo(i))
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff no image")

    added = shell(served, "add", folder)
    assert added["added"] == 3 and [one["id"] for one in added["failed"]] == ["bad"]
    items = shell(served, "match", folder)["items"]
    assert [item["matches"][0]["id"] for item in items if not item["error"]] == ["ä 0", "ä 1", "ä 2"]
    assert shell(served, "delete", "ä 0", "never", code=1) == {"deleted": 1, "missing": ["never"]}
    assert shell(served, "match", folder / "bad.jpg", code=1)
