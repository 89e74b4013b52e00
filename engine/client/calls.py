"""What both clients have in common: requests as data, when to try again, and what failures become."""

import json
import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from ..errors import ServiceError, SourceError

ServedImage = str | os.PathLike[str] | bytes | tuple[str, bytes]
"""A path, an encoded image, or (file name, encoded image)."""
Metadata = Mapping[str, Any] | None
Bulk = tuple[list[tuple[str, bytes]], list[str] | None, list[Metadata] | None]

T = TypeVar("T")
DEFAULT_URL = "http://127.0.0.1:8000"
RETRIES = 8
BULK_IMAGES = 32
BULK_BYTES = 16 << 20
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 10.0


class RequestFailedError(ServiceError):
    """The service refused a request, or could not be reached. status: of HTTP, 0 where there was no answer; code: a word."""

    def __init__(self, message: str, status: int = 0, code: str = "unreachable") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Call:
    """One request. All of them may be sent again: a repeated one changes nothing further."""

    method: str
    path: str
    params: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, tuple[str, bytes]]] | None = None
    data: dict[str, str] | None = None
    json: Any = None

    def arguments(self) -> dict[str, Any]:
        """For ``httpx``."""
        body = {"files": self.files, "data": self.data, "json": self.json}
        return {"params": self.params} | {name: value for name, value in body.items() if value is not None}


def match_call(images: list[tuple[str, bytes]], k: int, verify: str | None, evidence: bool) -> Call:
    params = {"k": str(k), "evidence": str(evidence).lower()} | ({} if verify is None else {"verify": verify})
    return Call("POST", "/v1/match", params, _files(images))


def add_call(
    images: list[tuple[str, bytes]], ids: Sequence[str] | None, metadata: Sequence[Metadata] | None, replace: bool
) -> Call:
    data = {}
    for name, values in (("ids", ids), ("metadata", metadata)):
        if values is not None:
            if len(values) != len(images):
                raise ValueError(f"{name} must have one value for each of the {len(images)} images")
            data[name] = json.dumps([None if value is None else _plain(value) for value in values], ensure_ascii=False)
    return Call("POST", "/v1/references", {"replace": str(replace).lower()}, _files(images), data)


def embed_call(images: list[tuple[str, bytes]], role: str) -> Call:
    return Call("POST", "/v1/embed", {"role": role}, _files(images))


def page_call(after: str | None, limit: int) -> Call:
    return Call("GET", "/v1/references", {"limit": str(limit)} | ({} if after is None else {"after": after}))


def reference_call(method: str, name: str, body: Any = None) -> Call:
    return Call(method, f"/v1/references/{quote(name, safe='')}", json=body)


def delete_call(ids: Iterable[str]) -> Call:
    return Call("POST", "/v1/references/delete", json={"ids": list(ids)})


def reviews_call(order: str, decided: bool, after: int | None, limit: int) -> Call:
    params = {"order": order, "decided": str(decided).lower(), "limit": str(limit)}
    return Call("GET", "/v1/reviews", params | ({} if after is None else {"after": str(after)}))


def decide_call(number: int, decision: str | None) -> Call:
    return Call("POST", f"/v1/reviews/{number}", json={"decision": decision})


def read_images(images: ServedImage | Iterable[ServedImage]) -> list[tuple[str, bytes]]:
    """Images, or a single one, as (file name, bytes). Raises: SourceError for a file that cannot be read; TypeError."""
    if isinstance(images, str | os.PathLike | bytes):
        return [_read(images)]
    if isinstance(images, tuple) and [type(part) for part in images] == [str, bytes]:
        return [_read(images)]
    found = [_read(image) for image in images]
    if not found:
        raise ValueError("there are no images")
    return found


def bulks(
    images: Iterable[ServedImage], ids: Iterable[str] | None, metadata: Iterable[Metadata] | None
) -> Iterator[Bulk]:
    """Images in requests of a size that the service likes, read as they are sent, with what goes with them."""
    names = None if ids is None else iter(ids)
    values = None if metadata is None else iter(metadata)
    group: list[tuple[str, bytes]] = []
    size = 0

    def complete() -> Bulk:
        return (
            group,
            None if names is None else _next("ids", names, len(group)),
            None if values is None else _next("metadata", values, len(group)),
        )

    for given in images:
        image = _read(given)
        if group and (len(group) == BULK_IMAGES or size + len(image[1]) > BULK_BYTES):
            yield complete()
            group, size = [], 0
        group.append(image)
        size += len(image[1])
    if group:
        yield complete()


def _next(name: str, values: Iterator[T], count: int) -> list[T]:
    found = list(islice(values, count))
    if len(found) < count:
        raise ValueError(f"there are more images than {name}")
    return found


def wait_before_retry(attempt: int, answer: httpx.Response | None) -> float | None:
    """Seconds after which to try again, longer each time and never the same for all clients; None where that is no use."""
    if attempt >= RETRIES or (answer is not None and answer.status_code not in (429, 503)):
        return None
    wait: float = min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt) * random.uniform(0.5, 1.0)
    try:
        asked = float(answer.headers.get("retry-after", "0")) if answer is not None else 0.0
    except ValueError:
        asked = 0.0
    return max(wait, min(asked, _LONGEST_WAIT) * random.uniform(1.0, 1.2))


def check(answer: httpx.Response) -> httpx.Response:
    """Raises: RequestFailedError unless the service did what it was asked."""
    if answer.is_success:
        return answer
    try:
        error = answer.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "http", answer.reason_phrase
    raise RequestFailedError(f"{answer.url}: {message} ({answer.status_code})", answer.status_code, code)


def unreachable(url: str, error: Exception) -> RequestFailedError:
    return RequestFailedError(f"{url}: cannot be reached: {' '.join(str(error).split()) or type(error).__name__}")


def headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {key}"}


def _read(image: ServedImage) -> tuple[str, bytes]:
    if isinstance(image, tuple):
        name, data = image
        return str(name), bytes(data)
    if isinstance(image, bytes):
        return "image", image
    if not isinstance(image, str | os.PathLike):
        raise TypeError(f"an image must be a path, bytes, or (file name, bytes), not {type(image).__name__}")
    path = Path(image)
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from None


def _files(images: list[tuple[str, bytes]]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", image) for image in images]


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
