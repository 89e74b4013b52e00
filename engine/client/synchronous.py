"""The client that waits."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import httpx

from ..collection import Decision
from ..collection.reviews import Order
from ..parallel import map_ordered
from ..serve.forms import (
    AddAnswer,
    AddedImage,
    DeleteAnswer,
    EmbedAnswer,
    MatchAnswer,
    ReferenceAnswer,
    ReferencePage,
    ReviewAnswer,
    ReviewPage,
)
from . import calls
from .calls import DEFAULT_URL, Bulk, Call, Metadata, ServedImage

_AT_ONCE = 2
_PAGE = 1000


class Client:
    """Calls a service; safe to use from several threads. key: an API key. seconds: for one attempt at a request.

    What the service is too busy for is tried again, and so is what failed on the way: no repetition changes anything further.
    All methods raise RequestFailedError, whose ``status`` and ``code`` say why, for a whole request that failed.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        seconds: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=url, headers=calls.headers(key), timeout=seconds, transport=transport)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def match(
        self,
        images: ServedImage | Iterable[ServedImage],
        *,
        k: int = 10,
        verify: str | None = None,
        evidence: bool = False,
    ) -> MatchAnswer:
        """The references that each image is most likely a copy of; a bad image is its own item's error."""
        call = calls.match_call(calls.read_images(images), k, verify, evidence)
        return MatchAnswer.model_validate(self._json(call))

    def embed(self, images: ServedImage | Iterable[ServedImage], *, role: str = "reference") -> EmbedAnswer:
        """Descriptors of images."""
        return EmbedAnswer.model_validate(self._json(calls.embed_call(calls.read_images(images), role)))

    def add(
        self,
        images: ServedImage | Iterable[ServedImage],
        *,
        ids: Sequence[str] | None = None,
        metadata: Sequence[Metadata] | None = None,
        replace: bool = False,
    ) -> AddAnswer:
        """Add images in one request. ids: default, file names without extension."""
        call = calls.add_call(calls.read_images(images), ids, metadata, replace)
        return AddAnswer.model_validate(self._json(call))

    def add_many(
        self,
        images: Iterable[ServedImage],
        *,
        ids: Iterable[str] | None = None,
        metadata: Iterable[Metadata] | None = None,
        replace: bool = False,
        progress: Callable[[int], object] = lambda done: None,
    ) -> Iterator[AddedImage]:
        """Add any number of images, a few requests at a time; what became of each, in their order. progress: told how many
        are done. A run that was interrupted is gone on with by the same call."""

        def send(part: Bulk) -> list[AddedImage]:
            return AddAnswer.model_validate(self._json(calls.add_call(*part, replace))).items

        done = 0
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for items in map_ordered(pool, send, calls.bulks(images, ids, metadata), _AT_ONCE):
                done += len(items)
                progress(done)
                yield from items

    def references(self, after: str | None = None) -> Iterator[ReferenceAnswer]:
        """All references in the order of their ids, behind the id ``after``."""
        while True:
            page = ReferencePage.model_validate(self._json(calls.page_call(after, _PAGE)))
            yield from page.items
            after = page.next
            if after is None:
                return

    def get(self, id: str) -> ReferenceAnswer:
        """One reference; a RequestFailedError with the status 404 where there is none."""
        return ReferenceAnswer.model_validate(self._json(calls.reference_call("GET", id)))

    def patch(self, id: str, metadata: dict[str, Any]) -> ReferenceAnswer:
        """Change metadata key by key; None takes a key away."""
        return ReferenceAnswer.model_validate(self._json(calls.reference_call("PATCH", id, {"metadata": metadata})))

    def delete(self, ids: str | Iterable[str]) -> DeleteAnswer:
        """Delete references; of each, whether it was there."""
        return DeleteAnswer.model_validate(self._json(calls.delete_call([ids] if isinstance(ids, str) else ids)))

    def reviews(self, *, order: Order = "newest", decided: bool = False) -> Iterator[ReviewAnswer]:
        """Pairs that wait for a decision, or ``decided`` ones. order: "newest" first, or the most "doubtful"."""
        after = None
        while True:
            page = ReviewPage.model_validate(self._json(calls.reviews_call(order, decided, after, _PAGE)))
            yield from page.items
            after = page.next
            if after is None:
                return

    def decide(self, id: int, decision: Decision | None) -> ReviewAnswer:
        """Accept or reject a pair, or with None take a decision back; the pair as it is then.

        A RequestFailedError with the status 404 where there is no such pair (any more).
        """
        return ReviewAnswer.model_validate(self._json(calls.decide_call(id, decision)))

    def is_ready(self) -> bool:
        """Whether the service can be reached and takes requests."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def _json(self, call: Call) -> Any:
        attempt = 0
        while True:
            answer = failure = None
            try:
                answer = self._http.request(call.method, call.path, **call.arguments())
            except httpx.TransportError as error:
                failure = error
            wait = None if answer is not None and answer.is_success else calls.wait_before_retry(attempt, answer)
            if wait is not None:
                time.sleep(wait)
                attempt += 1
            elif answer is None:
                raise calls.unreachable(str(self._http.base_url), failure or RuntimeError())
            else:
                return calls.check(answer).json()
