"""The page without a browser: logging in, what a session may do and from where, and the numbers of the day."""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from services import Running, photo, running

from copytrace.engine import Collection
from copytrace.engine.collection import Keys, Role
from copytrace.engine.serve import sessions
from copytrace.engine.serve.routes.page import FOLDER
from copytrace.engine.serve.today import Today

from bundle_files import small_bundle


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("paged")
    with running(folder / "refs.ct", bundle=small_bundle(folder / "bundle"), no_auth=False) as found:
        yield found


def new_key(running: Running, name: str, role: Role = "admin") -> str:
    with Keys(running.service.path) as keys:
        return keys.add(name, role, "the test")


def log_in(running: Running, key: str) -> httpx.Client:
    """A client with a session, as a browser has it on the page."""
    same = {"origin": running.url, "sec-fetch-site": "same-origin"}
    client = httpx.Client(base_url=running.url, headers=same, timeout=60)
    answer = client.post("/login", data={"key": f" {key} "})
    assert answer.status_code == 303 and answer.headers["location"] == "."
    return client


def test_a_session_begins_and_ends(guarded: Running) -> None:
    key = new_key(guarded, "<i>Anna</i>", "write")
    assert 'name="key"' in guarded.client.get("/").text
    with closing(log_in(guarded, key)) as client:
        (cookie,) = client.cookies.jar
        assert cookie.name == sessions.COOKIE and key not in str(cookie.value)
        page = client.get("/")
        assert "&lt;i&gt;Anna&lt;/i&gt;" in page.text and "<i>" not in page.text
        assert 'id="reviews"' not in page.text and 'data-may-delete="yes"' in page.text
        files = {"images": ("a.jpg", photo(1))}
        assert client.post("/v1/references", files=files).status_code == 200
        assert client.get("/v1/reviews").status_code == 403  # a session may do what its key may
        entry = guarded.service.references.collection.audit()[-1]
        assert (entry.who, entry.action) == ("<i>Anna</i>", "add")
        value = str(cookie.value)
        assert client.post("/logout").status_code == 303
        assert client.get("/v1/references").status_code == 401
        client.cookies.set(sessions.COOKIE, value)
        assert client.get("/v1/references").status_code == 401


def test_the_cookie_is_out_of_reach(guarded: Running) -> None:
    key = new_key(guarded, "cookie")
    answer = guarded.client.post("/login", data={"key": key})
    assert re.search(r"HttpOnly.*SameSite=strict", answer.headers["set-cookie"])
    guarded.client.cookies.clear()


def test_a_revoked_key_ends_its_sessions_and_time_ends_all(guarded: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, late = (log_in(guarded, new_key(guarded, name)) for name in ("gone", "late"))
    with closing(gone) as client, closing(late) as other:
        assert client.get("/v1/references").status_code == other.get("/v1/references").status_code == 200
        with Keys(guarded.service.path) as keys:
            keys.revoke("gone", "the test")
        assert client.get("/v1/references").status_code == 401
        assert 'name="key"' in client.get("/").text
        now = sessions.monotonic()
        monkeypatch.setattr(sessions, "monotonic", lambda: now + sessions.SECONDS + 1)
        assert other.get("/v1/references").status_code == 401


@pytest.mark.parametrize(
    "data", [b"", b"key=", b"key=ct_wrong", b"key=%ff%00", b"other=1", b"key=" + b"x" * 5000, b"a=1&" * 100]
)
def test_wrong_logins(guarded: Running, data: bytes) -> None:
    answer = guarded.client.post("/login", content=data)
    assert answer.status_code in (401, 413, 422) and "set-cookie" not in answer.headers


def test_requests_that_other_pages_begin_are_refused(guarded: Running) -> None:
    key = new_key(guarded, "target")
    for headers in ({"origin": "https://elsewhere.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert guarded.client.post("/login", data={"key": key}, headers=headers).status_code == 403
        assert guarded.client.post("/logout", headers=headers).status_code == 403
    with closing(log_in(guarded, key)) as client:
        client.headers.clear()
        for changing in (
            {},  # nothing that says where it comes from, as an old browser sends
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},  # another port of this machine
            {"origin": "http://127.0.0.1:1"},
            {"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"},
        ):
            answer = client.post("/v1/references/delete", json={"ids": []}, headers=changing)
            assert answer.status_code == 403, changing
        assert client.get("/v1/references", headers={"sec-fetch-site": "same-site"}).status_code == 403
        assert client.get("/v1/references", headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert client.get("/v1/references").status_code == 200
        assert (
            client.post("/v1/references/delete", json={"ids": []}, headers={"origin": guarded.url}).status_code == 200
        )


def test_too_many_sessions_end_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 2)
    table = sessions.Sessions()
    for number in range(3):
        table.start(str(number))
    assert [key for key, _ in table._keys.values()] == ["1", "2"]


def test_the_numbers_of_the_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Today, "_turn", lambda today: None)  # no midnight, whatever the hour of the test
    with running(tmp_path / "refs.ct", bundle=small_bundle(tmp_path / "bundle")) as own:
        own.add(("a.jpg", photo(1)), ("b.jpg", photo(2)))
        own.add(("a.jpg", photo(3)), params={"replace": "true"})
        own.client.delete("/v1/references/b")
        for thresholds in ({"match": 0, "review": 0}, {"match": 1, "review": 0}, {"match": 1, "review": 1}):
            own.client.put("/v1/thresholds", json=thresholds)
            own.match(("q", photo(4)), ("bad", b""))
        (review,) = own.client.get("/v1/reviews").json()["items"]
        own.client.post(f"/v1/reviews/{review['id']}", json={"decision": "accept"})
        today = own.client.get("/v1/today").json()
        assert today.pop("since") > review["created"][:10]
        assert today == {
            "match": 1,
            "review": 1,
            "no_match": 1,
            "errors": 3,
            "added": 2,
            "replaced": 1,
            "deleted": 1,
            "accepted": 1,
            "rejected": 0,
            "waiting": 0,
            "references": 1,
        }


def test_a_day_ends_at_midnight() -> None:
    today = Today()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Today, "_turn", lambda today: None)  # no midnight yet
        today.count("added", 3)
        since, numbers = today.numbers()
    assert numbers["added"] == 3 and numbers["deleted"] == 0
    assert since == today._started.isoformat(timespec="milliseconds")
    today._day, today._started = today._day - timedelta(1), today._started - timedelta(1)
    since, numbers = today.numbers()
    assert numbers["added"] == 0 and since.endswith("T00:00:00.000+00:00")


def test_files_and_thumbnails(tmp_path: Path) -> None:
    with running(tmp_path / "refs.ct", bundle=small_bundle(tmp_path / "bundle")) as own:
        page = own.client.get("/")
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        for name in ("main.js", "page.css"):
            assert f"page/{name}" in page.text and own.client.get(f"/page/{name}").status_code == 200
        for name in ("index.html", "..%2fapp.py", "none"):
            assert own.client.get(f"/page/{name}").status_code == 404
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cross-origin-resource-policy"] == "same-origin"
        name = "<img src=x onerror=alert(1)>/ü"
        own.add(("x", photo(1)), data={"ids": f'["{name}"]'})
        (one,) = own.client.get("/v1/references").json()["items"]
        picture = own.client.get("/v1/thumbnails/%3Cimg%20src=x%20onerror=alert(1)%3E%2F%C3%BC")
        assert picture.headers["content-type"] == "image/png" and one["id"] == name
        assert cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_GRAYSCALE).size > 0
        assert own.client.get("/v1/thumbnails/none").status_code == 404


def test_the_page_never_sets_html() -> None:
    """Ids and file names can be anything; and the policy allows no script but its own files."""
    scripts = "".join(path.read_text() for path in FOLDER.glob("*.js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", scripts)
    pages = "".join(path.read_text() for path in FOLDER.glob("*.html"))
    assert not re.search(r"<script(?! type=\"module\" src=)|\son\w+=|style=|https?://|\|\s*safe", pages)


def test_references_by_the_beginning_of_their_ids(tmp_path: Path) -> None:
    last = chr(0x10FFFF)
    ids = ["", "a", "a%", "a_b", "ab", "ab" + last + last + "x", "ac", "b", "\ud7ff", "\ue000", last]
    with Collection.create(tmp_path / "refs.ct", 4) as collection:
        collection.add(ids[1:], np.zeros((len(ids) - 1, 4), np.float32))
        for prefix in ["A", "a" + last, "\ud7ffx", *ids]:
            expected = sorted(name for name in ids[1:] if name.startswith(prefix))
            assert [one.id for one in collection.references(prefix=prefix)] == expected, prefix
            assert [one.id for one in collection.references("ab", 2, prefix)] == [n for n in expected if n > "ab"][:2]
