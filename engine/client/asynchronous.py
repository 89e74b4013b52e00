"""The same client for ``asyncio``."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Self

import httpx

from ..collection import Decision
from ..collection.reviews import Order
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
from .calls import DEFAULT_URL, Call, Metadata, ServedImage

_PAGE = 1000


class AsyncClient:
    """See :class:`~copytrace.engine.client.Client`, whose methods these are."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        seconds: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=calls.headers(key), timeout=seconds, transport=transport)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def match(
        self,
        images: ServedImage | Iterable[ServedImage],
        *,
        k: int = 10,
        verify: str | None = None,
        evidence: bool = False,
    ) -> MatchAnswer:
        call = calls.match_call(calls.read_images(images), k, verify, evidence)
        return MatchAnswer.model_validate(await self._json(call))

    async def embed(self, images: ServedImage | Iterable[ServedImage], *, role: str = "reference") -> EmbedAnswer:
        return EmbedAnswer.model_validate(await self._json(calls.embed_call(calls.read_images(images), role)))

    async def add(
        self,
        images: ServedImage | Iterable[ServedImage],
        *,
        ids: Sequence[str] | None = None,
        metadata: Sequence[Metadata] | None = None,
        replace: bool = False,
    ) -> AddAnswer:
        call = calls.add_call(calls.read_images(images), ids, metadata, replace)
        return AddAnswer.model_validate(await self._json(call))

    async def add_many(
        self,
        images: Iterable[ServedImage],
        *,
        ids: Iterable[str] | None = None,
        metadata: Iterable[Metadata] | None = None,
        replace: bool = False,
        progress: Callable[[int], object] = lambda done: None,
    ) -> AsyncIterator[AddedImage]:
        done = 0
        for part in calls.bulks(images, ids, metadata):
            items = AddAnswer.model_validate(await self._json(calls.add_call(*part, replace))).items
            done += len(items)
            progress(done)
            for item in items:
                yield item

    async def references(self, after: str | None = None) -> AsyncIterator[ReferenceAnswer]:
        while True:
            page = ReferencePage.model_validate(await self._json(calls.page_call(after, _PAGE)))
            for item in page.items:
                yield item
            after = page.next
            if after is None:
                return

    async def get(self, id: str) -> ReferenceAnswer:
        return ReferenceAnswer.model_validate(await self._json(calls.reference_call("GET", id)))

    async def patch(self, id: str, metadata: dict[str, Any]) -> ReferenceAnswer:
        call = calls.reference_call("PATCH", id, {"metadata": metadata})
        return ReferenceAnswer.model_validate(await self._json(call))

    async def delete(self, ids: str | Iterable[str]) -> DeleteAnswer:
        call = calls.delete_call([ids] if isinstance(ids, str) else ids)
        return DeleteAnswer.model_validate(await self._json(call))

    async def reviews(self, *, order: Order = "newest", decided: bool = False) -> AsyncIterator[ReviewAnswer]:
        after = None
        while True:
            page = ReviewPage.model_validate(await self._json(calls.reviews_call(order, decided, after, _PAGE)))
            for item in page.items:
                yield item
            after = page.next
            if after is None:
                return

    async def decide(self, id: int, decision: Decision | None) -> ReviewAnswer:
        return ReviewAnswer.model_validate(await self._json(calls.decide_call(id, decision)))

    async def is_ready(self) -> bool:
        try:
            return (await self._http.get("/readyz")).is_success
        except httpx.TransportError:
            return False

    async def _json(self, call: Call) -> Any:
        attempt = 0
        while True:
            answer = failure = None
            try:
                answer = await self._http.request(call.method, call.path, **call.arguments())
            except httpx.TransportError as error:
                failure = error
            wait = None if answer is not None and answer.is_success else calls.wait_before_retry(attempt, answer)
            if wait is not None:
                await asyncio.sleep(wait)
                attempt += 1
            elif answer is None:
                raise calls.unreachable(str(self._http.base_url), failure or RuntimeError())
            else:
                return calls.check(answer).json()
