"""The ASGI application of a service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from time import perf_counter
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import failure
from .forms import ErrorAnswer
from .hma import router as hma
from .routes import embedding, jobs, matching, page, references, reviews, status
from .routes.quick import QuickMatch
from .service import Service
from .small_bodies import SmallBodies

_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": ErrorAnswer} for code in (400, 401, 403, 413, 415, 422, 429, 503)
}
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def create_app(service: Service) -> FastAPI:
    """The routes of a service, which is closed when the application ends."""

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        house = asyncio.create_task(service.keep_house())
        yield
        house.cancel()
        await service.close()

    app = FastAPI(
        title="copytrace",
        version=version("copytrace"),
        summary="Tells of which references images are edited copies.",
        lifespan=living,
        docs_url=None,  # its page would be fetched from another host
        redoc_url=None,
    )
    app.state.service = service
    failure.install(app)
    for part in (matching, references, embedding, jobs, reviews):
        app.include_router(part.router, responses=_ERRORS)
    app.include_router(hma)
    app.include_router(status.router)
    app.include_router(page.router)
    app.add_middleware(SmallBodies, seconds=service.settings.request_seconds)
    app.add_middleware(QuickMatch, service=service)
    app.add_middleware(Counted, service=service)
    return app


class Counted:
    """Counts requests and their seconds, and adds the headers that every answer has."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._metrics = service.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, code = perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            route = getattr(scope.get("route"), "path", "none")  # never what the client wrote: it would fill the memory
            self._metrics.requests.labels(scope["method"], route, str(code)).inc()
            self._metrics.request_seconds.labels(route).observe(perf_counter() - begun)
