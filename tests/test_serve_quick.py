"""Short ways that a request takes: multipart bodies cut at their boundaries, and the route of most requests."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from services import Running, photo, running
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from copytrace.engine.serve.multipart import MultipartError, Part, parts_of
from copytrace.engine.serve.routes.quick import Asked, read_query

from bundle_files import small_bundle


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("quick")
    with running(folder / "refs.ct", bundle=small_bundle(folder / "bundle")) as found:
        found.add(*((f"{i}.jpg", photo(i)) for i in range(5)))
        yield found


def by_starlette(content_type: str, body: bytes) -> list[Part]:
    """The parts as the library reads them that FastAPI uses."""

    async def stream() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]
        yield b""

    async def read() -> list[Part]:
        form = await MultiPartParser(Headers({"content-type": content_type}), stream()).parse()
        return [
            Part(name, value.filename or "", await value.read())
            if isinstance(value, UploadFile)
            else Part(name, None, value.encode())
            for name, value in form.multi_items()
        ]

    return asyncio.run(read())


NAMES = st.text(st.sampled_from('aé"\\ ;=.日'), max_size=6)
DATA = st.lists(st.sampled_from([b"\r\n", b"--B", b"\r\n--", b"-", b"B", b"x", b"\r\n\r\n", b"\r"]), max_size=8).map(
    b"".join
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(NAMES, st.none() | NAMES, DATA), max_size=4), st.sampled_from(["B", "---a.b_c", '"B B"']))
def test_parts_are_those_that_the_library_finds(parts: list[tuple[str, str | None, bytes]], boundary: str) -> None:
    bare = boundary.strip('"').encode()
    body = b""
    for name, filename, data in parts:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"').encode()
        file = b"" if filename is None else b'; filename="%s"' % filename.replace('"', '\\"').encode()
        body += b'--%s\r\nX-Other: 1\r\ncontent-DISPOSITION: form-data; name="%s"%s\r\n\r\n' % (bare, quoted, file)
        assume(b"\r\n--" + bare not in data)
        body += data + b"\r\n"
    kind = f"multipart/form-data; boundary={boundary}"
    whole = body + b"--" + bare + b"--\r\n"
    assert list(parts_of(kind, whole)) == by_starlette(kind, whole)
    with pytest.raises(MultipartError, match="cut off"):
        list(parts_of(kind, body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--B",
        b"--B\r\n",
        b"--B\r\n\r\nx\r\n--B--",
        b"--B\r\nA: b\r\n\r\nx\r\n--B--",
        b"--Bx\r\n\r\n--",
        b"\r\n--C--",
    ],
)
def test_bodies_that_are_no_multipart(body: bytes) -> None:
    with pytest.raises(MultipartError):
        list(parts_of("multipart/form-data; boundary=B", body))
    with pytest.raises(MultipartError, match="no boundary"):
        list(parts_of("multipart/form-data", body))


def test_what_stands_around_the_parts_is_left_alone() -> None:
    body = b'preamble\r\n--B \t\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--B--\r\nepilogue\r\n--B\r\n'
    kind = "multipart/form-data; boundary=B"
    (part,) = parts_of(kind, body)
    assert (part.name, part.filename, part.data, part.text) == ("a", None, b"\xff", "\xff")
    with pytest.raises(MultiPartException):  # stricter: the library knows no preamble
        by_starlette(kind, body)


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        (b"", Asked()),
        (b"k=3", Asked(k=3)),
        (b"verify=none&k=999&evidence=true", Asked(999, "none", True)),
        (b"evidence=false", Asked()),
        *(
            (query, None)
            for query in (b"k=0", b"k=1000", b"k=%33", b"k=3&k=4", b"kk=3", b"verify=", b"&", b"evidence=1")
        ),
    ],
)
def test_only_plain_parameters_take_the_short_way(query: bytes, asked: Asked | None) -> None:
    assert read_query(query) == asked


def test_both_ways_answer_alike(served: Running) -> None:
    """The short one, and that of FastAPI, which whatever is not written plainly takes."""
    for verify in ("none", "candidates", "full"):
        answers = []
        for k in ("4", "%34"):
            url = f"/v1/match?k={k}&verify={verify}&evidence=true"
            answers.append(served.client.post(url, files=[("images", ("q.jpg", photo(2))), ("images", ("bad", b"x"))]))
        short, other = (answer.json() for answer in answers)
        assert short.pop("timings").keys() == other.pop("timings").keys()
        assert short == other and [len(item["matches"]) for item in short["items"]] == [4, 0]
        assert short["items"][0]["matches"][0]["id"] == "2"
        headers = [
            {k: v for k, v in answer.headers.items() if k not in ("date", "content-length")} for answer in answers
        ]
        assert headers[0] == headers[1]
    for k in ("4", "%34"):
        for bad in ({"content": b"x"}, {"files": [("other", b"x")]}, {"headers": {"host": "elsewhere"}}):
            answer = served.client.post(f"/v1/match?k={k}", **bad)  # type: ignore[arg-type]
            assert answer.status_code in (403, 415, 422) and set(answer.json()["error"]) == {"code", "message"}


def test_keys_are_asked_for_on_the_short_way(tmp_path: Path) -> None:
    with running(tmp_path / "refs.ct", bundle=small_bundle(tmp_path / "bundle"), no_auth=False) as guarded:
        for k in ("4", "%34"):
            answer = guarded.client.post(f"/v1/match?k={k}", content=photo(0), headers={"content-type": "image/jpeg"})
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert 'code="401",method="POST",route="/v1/match"' in guarded.service.metrics.text().decode()
