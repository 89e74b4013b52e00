"""Who is let in: keys, roles over every route, rates, and pages of other sites."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from services import Running, photo, running

from copytrace.engine import Collection, CollectionError
from copytrace.engine.collection import Keys
from copytrace.engine.serve import access
from copytrace.engine.serve.access import is_loopback
from copytrace.engine.serve.app import create_app

from bundle_files import small_bundle

ROLES = ("read", "write", "review", "admin")
OPEN = {("get", "/healthz"), ("get", "/readyz"), ("get", "/status")}
PAGES = {  # what somebody without a key is answered
    ("get", "/"): 200,  # the form to log in with
    ("get", "/openapi.json"): 200,
    ("get", "/page/{name}"): 404,
    ("post", "/login"): 413,  # an image is no key
    ("post", "/logout"): 303,
}
NEEDED = {
    ("get", "/metrics"): "read",
    ("post", "/v1/match"): "read",
    ("post", "/v1/embed"): "read",
    ("get", "/v1/references"): "read",
    ("get", "/v1/references/{id}"): "read",
    ("get", "/v1/thumbnails/{id}"): "read",
    ("get", "/v1/thresholds"): "read",
    ("put", "/v1/thresholds"): "admin",
    ("get", "/v1/today"): "read",
    ("get", "/v1/reviews"): "review",
    ("post", "/v1/reviews/{id}"): "review",
    ("get", "/v1/reviews/{id}/thumbnail"): "review",
    ("get", "/v1/jobs"): "read",
    ("get", "/v1/jobs/{id}"): "read",
    ("get", "/v1/jobs/{id}/duplicates"): "read",
    ("post", "/v1/jobs"): "write",
    ("post", "/v1/jobs/{id}/cancel"): "write",
    ("post", "/v1/references"): "write",
    ("patch", "/v1/references/{id}"): "write",
    ("delete", "/v1/references/{id}"): "write",
    ("post", "/v1/references/delete"): "write",
    ("get", "/h/hash"): "read",
    ("post", "/h/hash"): "read",
    ("get", "/m/lookup"): "read",
    ("post", "/m/lookup"): "read",
    ("get", "/m/raw_lookup"): "read",
    ("post", "/m/compare"): "read",
    ("get", "/m/index/status"): "read",
    ("get", "/c/banks"): "read",
    ("post", "/c/banks"): "write",
    ("get", "/c/bank/{bank}"): "read",
    ("post", "/c/bank/{bank}/content"): "write",
    ("get", "/c/bank/{bank}/content/{content}"): "read",
    ("delete", "/c/bank/{bank}/content/{content}"): "write",
}
MAY = {
    "read": {"read"},
    "write": {"read", "write"},
    "review": {"read", "review"},
    "admin": {"read", "write", "review", "admin"},
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("guarded")
    with running(folder / "refs.ct", bundle=small_bundle(folder / "bundle"), no_auth=False) as found:
        yield found


@pytest.fixture(scope="module")
def secrets(guarded: Running) -> dict[str, str]:
    with Keys(guarded.service.path) as keys:
        return {role: keys.add(f"a {role} key", role, "the test") for role in ROLES}


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def call(running: Running, method: str, path: str, headers: dict[str, str]) -> int:
    """The status of a request that is good in all but its key, as far as a role can tell."""
    content = b'{"ids": []}' if path.endswith("/delete") else b'{"metadata": {}}' if method == "patch" else photo(0)
    content = b"{}" if path in ("/c/banks", "/m/compare") else content
    kind = "application/json" if content[:1] == b"{" else "image/jpeg"
    url = re.sub("{.*?}", "none", path)
    answer = running.client.request(method, url, content=content, headers={"content-type": kind, **headers})
    return answer.status_code


def test_every_route_has_its_role(guarded: Running, secrets: dict[str, str]) -> None:
    routes = set(routes_of(create_app(guarded.service).routes))
    assert routes == OPEN | set(PAGES) | set(NEEDED)  # a route that is not in this table has not been thought about
    for (method, path), needed in NEEDED.items():
        assert call(guarded, method, path, {}) == 401
        for role in ROLES:
            status = call(guarded, method, path, bearer(secrets[role]))
            assert (status == 403) == (needed not in MAY[role]) and status != 401, (method, path, role, status)
    for (method, path), status in (dict.fromkeys(OPEN, 200) | PAGES).items():
        assert call(guarded, method, path, {}) == status


def routes_of(routes: list[Any]) -> Iterator[tuple[str, str]]:
    """(method, path) of all routes of an application, also of those that its OpenAPI leaves out."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from routes_of(route.original_router.routes)
        else:
            yield from ((method.lower(), route.path_format) for method in route.methods - {"HEAD"})


@pytest.mark.parametrize("given", ["Bearer", "Bearer ct_wrong", "Basic YTpi", "ct_", "Bearer \xff", "bearer  x y", ""])
def test_wrong_keys(guarded: Running, given: str) -> None:
    answer = guarded.client.get("/v1/references", headers={"authorization": given.encode("latin-1")})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert set(answer.json()["error"]) == {"code", "message"}


def test_a_key_is_made_used_and_revoked_while_the_service_runs(guarded: Running) -> None:
    command = [str(Path(sys.executable).parent / "copytrace"), "collection", "key"]
    path = str(guarded.service.path)
    made = subprocess.run([*command, "add", path, "cli", "--role", "write", "--json"], capture_output=True, check=True)
    secret = json.loads(made.stdout)["key"]
    assert guarded.client.get("/v1/references", headers=bearer(secret)).status_code == 200
    files = {"images": ("mine.jpg", photo(1))}
    assert guarded.client.post("/v1/references", files=files, headers=bearer(secret)).status_code == 200
    with Keys(guarded.service.path) as keys:
        with pytest.raises(CollectionError, match="already"):
            keys.add("cli", "read", "the test")
        keys.revoke("cli", "the test")
        assert guarded.client.get("/v1/references", headers=bearer(secret)).status_code == 401
        with pytest.raises(CollectionError, match="no valid key"):
            keys.revoke("cli", "the test")
        guarded.service.access.save_used()
        (key,) = [key for key in keys.list_keys() if key.name == "cli"]
        assert key.used > key.created and key.revoked > key.created
    log = [(entry.who, entry.action) for entry in guarded.service.references.collection.audit()]
    assert [one for one in log if "key" in one[1]][-2:] == [("command line", "add key"), ("the test", "revoke key")]
    assert ("cli", "add") in log
    everything = b"".join(file.read_bytes() for file in guarded.service.path.iterdir())
    assert secret.encode() not in everything and secret[3:].encode() not in everything


def test_names_and_damage_of_keys(tmp_path: Path) -> None:
    Collection.create(tmp_path / "refs.ct", 4).close()
    with Keys(tmp_path / "refs.ct") as keys:
        for name in ("", "a\nb", "x" * 200, "\ud800"):
            with pytest.raises(CollectionError):
                keys.add(name, "read", "the test")
        with pytest.raises(ValueError, match="role"):
            keys.add("a", "root", "the test")  # type: ignore[arg-type]
        keys.add("a", "read", "the test")
        keys._catalogue.connection.execute("UPDATE key SET role = 'admin'")
        with pytest.raises(CollectionError, match="damaged"):
            keys.list_keys()
        keys._catalogue.connection.execute("UPDATE audit SET who = 'nobody'")
    with Collection.open(tmp_path / "refs.ct") as collection:
        assert re.search("audit log is damaged: entry 1", collection.check()[0])


def test_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(access, "monotonic", lambda: now)
    with running(tmp_path / "refs.ct", bundle=small_bundle(tmp_path / "bundle"), rate=2.0) as own:
        codes = [own.client.get("/v1/references").status_code for _ in range(8)]
        assert codes == [200] * 4 + [429] * 4
        refused = own.client.get("/v1/references")
        assert refused.json()["error"]["code"] == "rate" and int(refused.headers["retry-after"]) >= 1
        now += 0.6
        assert [own.client.get("/v1/references").status_code for _ in range(2)] == [200, 429]
        assert own.client.get("/healthz").status_code == 200


def test_pages_of_other_sites_and_names_that_lead_here_are_refused(tmp_path: Path) -> None:
    """A browser on this machine must not be made to change what is served without keys."""
    with running(tmp_path / "refs.ct", bundle=small_bundle(tmp_path / "bundle")) as own:
        files = {"images": ("a.jpg", photo(1))}
        for headers in (
            {"origin": "https://elsewhere.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"host": "rebound.example"},
            {"host": "rebound.example", "origin": "http://rebound.example"},
        ):
            answer = own.client.post("/v1/references", files=files, headers=headers)
            assert answer.status_code == 403, headers
        same = {"origin": own.url, "sec-fetch-site": "same-origin"}
        assert own.client.post("/v1/references", files=files, headers=same).status_code == 200
        assert len(own.service.references) == 1
        wrong = httpx.get(f"{own.url}/v1/references", headers=bearer("ct_wrong"), timeout=60)
        assert wrong.status_code == 401  # a wrong key is no better for being unneeded


@pytest.mark.parametrize(
    ("host", "named"),
    [
        *((host, True) for host in ("127.0.0.1", "LocalHost:8000", "[::1]:9", "127.0.0.1:")),
        *(
            (host, False)
            for host in ("", "a", "127.0.0.1.a", "a@localhost", "localhost@a", "localhost#", "localhost/", "[")
        ),
        *((host, False) for host in ("localhost:x", "local host", "localhost\\", "127.0.0.1,a")),
    ],
)
def test_names_of_this_machine(host: str, named: bool) -> None:
    assert is_loopback(host) == named
