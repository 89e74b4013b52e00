"""Whatever is sent to whichever route: never an answer that says the service has failed. Hypothesis over the OpenAPI."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services import Running, photo, running

from bundle_files import small_bundle

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["one", "..", "a/b", "%2e", "0", "\u00fc", "x" * 1100]) | st.text(min_size=1)
FILES = st.sampled_from([photo(1), photo(2)[:500], b"", b"\x89PNG\r\n\x1a\n", b"GIF89a"]) | st.binary(max_size=50)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("fuzzed")
    with running(folder / "refs.ct", bundle=small_bundle(folder / "bundle"), jobs_from=(folder,)) as found:
        found.add(("one.jpg", photo(1)), ("two.jpg", photo(2)))
        yield found


@pytest.fixture(scope="module")
def openapi(served: Running) -> dict[str, Any]:
    return served.client.get("/openapi.json").json()


def values(schema: dict[str, Any], openapi: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows, more or less, and now and then any other."""
    if "$ref" in schema:
        return values(openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]], openapi)
    if "anyOf" in schema:
        return st.one_of([values(one, openapi) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = {
        "string": NAMES,
        "integer": st.integers(-2, 1001) | st.integers(),
        "number": st.floats(0, 1) | st.floats(),
        "boolean": st.booleans(),
        "null": st.none(),
    }
    if schema.get("type") == "array":
        return st.lists(values(schema.get("items", {}), openapi), max_size=4)
    if schema.get("type") == "object":
        own = {name: values(one, openapi) for name, one in schema.get("properties", {}).items()}
        others = schema.get("additionalProperties")
        more = values(others, openapi) if isinstance(others, dict) else JSON
        return st.fixed_dictionaries({}, optional=own) if own else st.dictionaries(NAMES, more, max_size=3)
    return kinds.get(schema.get("type", ""), JSON)


@st.composite
def requests(draw: st.DrawFn, openapi: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a request to some route."""
    path = draw(st.sampled_from(sorted(openapi["paths"])))
    method = draw(st.sampled_from(sorted(openapi["paths"][path])))
    operation = openapi["paths"][path][method]
    params: dict[str, str] = {}
    for one in operation.get("parameters", []):
        value = draw(values(one["schema"], openapi) | JSON if draw(st.booleans()) else values(one["schema"], openapi))
        text = value if isinstance(value, str) else json.dumps(value)
        text = text.encode("utf-8", "replace").decode()
        if one["in"] == "path":
            path = path.replace("{" + one["name"] + "}", quote(text, safe="") or "x")
        elif one["in"] == "query" and draw(st.booleans()):
            params[one["name"]] = text
    request: dict[str, Any] = {"method": method, "url": path, "params": params}
    kinds = operation.get("requestBody", {}).get("content", {})
    if not kinds or draw(st.integers(0, 9)) == 0:
        return request | {"content": draw(st.binary(max_size=200)), "headers": {"content-type": draw(TYPES)}}
    kind = draw(st.sampled_from(sorted(kinds)))
    if kind == "application/json":
        body = draw(values(kinds[kind]["schema"], openapi) | JSON)
        return request | {"content": json.dumps(body).encode("utf-8", "replace"), "headers": {"content-type": kind}}
    if kind == "multipart/form-data":
        names = [*kinds[kind]["schema"].get("properties", {}), "other"]
        files = draw(st.lists(st.tuples(st.sampled_from(names), st.tuples(NAMES, FILES)), max_size=3))
        data = draw(st.dictionaries(st.sampled_from(names), JSON.map(json.dumps) | st.text(), max_size=2))
        data = {name: text.encode("utf-8", "replace").decode() for name, text in data.items()}
        files = [(name, (file.encode("utf-8", "replace").decode(), content)) for name, (file, content) in files]
        return request | {"files": files, "data": data}
    return request | {"content": draw(FILES), "headers": {"content-type": draw(TYPES)}}


TYPES = st.sampled_from(
    ["image/jpeg", "application/json", "multipart/form-data", "multipart/form-data; boundary=B", "text/plain", "x", ""]
)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(data=st.data())
def test_no_request_makes_the_service_fail(served: Running, openapi: dict[str, Any], data: st.DataObject) -> None:
    request = data.draw(requests(openapi))
    answer = served.client.request(**request)
    assert answer.status_code < 500 or answer.status_code == 503, (request, answer.text)
    if answer.status_code >= 400:
        error = answer.json()
        assert set(error) in ({"error"}, {"message"}), (request, answer.text)
