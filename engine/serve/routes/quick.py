"""``POST /v1/match`` as nearly every client sends it, without what FastAPI does for any route: solving dependencies and looking
through an answer again took as much time as all the rest of a small request. What is asked in another way is left to the route
in ``matching``, which OpenAPI describes, and which says what is wrong.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

from fastapi import Request, Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from ..access import authorised
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


class QuickMatch(BaseRoute):
    """Stands before the other routes. All errors take their way."""

    path = path_format = "/v1/match"
    methods = frozenset({"POST"})

    def __init__(self, service: Service) -> None:
        self._service = service

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope["path"] != self.path or scope["method"] != "POST":
            return Match.NONE, {}
        asked = read_query(scope["query_string"])
        return (Match.NONE, {}) if asked is None else (Match.FULL, {"route": self, "asked": asked})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        authorised(self._service.access, request, "read")
        found = await answer(request, self._service, *scope["asked"])
        await Response(found.model_dump_json(), media_type="application/json")(scope, receive, send)


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
