"""``POST /v1/match`` as nearly every client sends it, without what FastAPI does for any route: solving dependencies and looking
through an answer again took as much time as all the rest of a small request. What is asked in another way is left to the route
in ``matching``, which OpenAPI describes, and which says what is wrong.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..access import authorised
from ..failure import KNOWN, response_to
from ..service import Service, Verify
from .matching import answer

_PLAIN = {
    "k": re.compile("[1-9][0-9]{0,2}"),
    "verify": re.compile("none|candidates|full"),
    "evidence": re.compile("true|false"),
}


class Asked(NamedTuple):
    k: int = 10
    verify: Verify | None = None
    evidence: bool = False


class QuickMatch:
    """Middleware that stands before everything that only other routes need. All errors take their way."""

    path = "/v1/match"

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "http" and scope["path"] == self.path and scope["method"] == "POST"
        asked = read_query(scope["query_string"]) if ours else None
        if asked is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = self  # for what counts requests by their routes
        request = Request(scope, receive, send)
        response: Response
        try:
            authorised(self._service.access, request, "read")
            found = await answer(request, self._service, *asked)
            response = Response(found.model_dump_json(), media_type="application/json")
        except KNOWN as error:
            response = response_to(request, error)
        await response(scope, receive, send)


@lru_cache(256)
def read_query(query: bytes) -> Asked | None:
    """The parameters, None where any is unknown, there twice, or not written plainly."""
    values: dict[str, Any] = {}
    for pair in query.decode("latin-1").split("&") if query else ():
        name, _, value = pair.partition("=")
        if name in values or name not in _PLAIN or not _PLAIN[name].fullmatch(value):
            return None
        values[name] = int(value) if name == "k" else value == "true" if name == "evidence" else value
    return Asked(**values)
