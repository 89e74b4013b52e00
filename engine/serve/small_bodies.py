"""Bodies in JSON, which are read whole before anything is known of the caller: they are small, and here in time."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .failure import RequestError

MOST_BYTES = 4 << 20


class SmallBodies:
    """Middleware. Routes that read uploads have no body of their own as FastAPI sees it, and limits of their own.

    seconds: that a body may take.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size, end = 0, asyncio.get_running_loop().time() + self._seconds

        async def limited() -> Message:
            nonlocal size
            if getattr(scope.get("route"), "body_field", None) is None:
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                raise RequestError(408, "slow", "the body took too long", {"Connection": "close"}) from None
            size += len(message.get("body", b""))
            if size > MOST_BYTES:
                raise RequestError(413, "body", f"the body has more than {MOST_BYTES} bytes")
            return message

        await self._app(scope, limited, send)
