"""The process: a socket, uvicorn, and what signals mean."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn

from ..errors import ServiceError
from .app import create_app
from .service import Service
from .settings import Settings

KEEP_ALIVE_SECONDS = 20
SWITCH_SECONDS = 0.001
"""How long a thread that computes in Python lets others wait. A search lets go of the interpreter once a block, and beside a
change of references waited each time for five milliseconds, Python's own default: a small one took six times as long. Three
milliseconds answer a twenty-fifth more at saturation, and at twice that load a twentieth less of it."""
YOUNG_OBJECTS = 20_000
"""New objects that the collector waits for; with Python's 700 it took a twentieth of what requests cost."""


ONE_SIGNAL_SECONDS = 1.0
"""Signals that come together are one: `timeout`, for example, sends its own to the process, and then to its group."""


class Server(uvicorn.Server):
    """Serves until SIGTERM or SIGINT, then finishes what is under way and returns.

    A further signal ends the process at once, as a kill would: what was acknowledged is on the disk.
    """

    def __init__(self, service: Service) -> None:
        settings = service.settings
        super().__init__(
            uvicorn.Config(
                create_app(service),
                log_level=settings.log_level,
                access_log=settings.log_level == "debug",
                proxy_headers=False,  # who calls is told by keys, never by headers
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
                ssl_certfile=settings.tls_certificate,
                ssl_keyfile=settings.tls_key,
            )
        )
        self._service = service
        self._asked: float | None = None
        self.failure: BaseException | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's own it does not end the process by the same signal: the exit code is to be 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked is not None and now - self._asked >= ONE_SIGNAL_SECONDS:
            os._exit(128 + sig)
        self._asked = self._asked or now
        self.should_exit = True
        self._service.state = "draining"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loading = asyncio.get_running_loop().run_in_executor(None, self._service.load)
        self._loading.add_done_callback(self._loaded)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.state = "draining"
        await asyncio.wait([self._loading])
        await super().shutdown(sockets)

    def _loaded(self, loading: "asyncio.Future[None]") -> None:
        if threading.current_thread() is threading.main_thread():
            # What is there now stays as long as the process; the collector, which would look through it over and over, took a
            # twentieth of the time under load.
            gc.collect()
            gc.freeze()
            gc.set_threshold(YOUNG_OBJECTS)
        self.failure = loading.exception()
        self.should_exit = self.should_exit or self.failure is not None


def serve(path: Path, settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve a collection, made where there is none, until a signal comes. announce: told the address.

    Raises: ServiceError, CollectionError, BundleError, MissingExtraError.
    """
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what clients send wrongly is theirs to know
    listening = open_socket(settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        server = Server(Service(path, settings))
        host, port = listening.getsockname()[:2]
        scheme = "https" if settings.tls_certificate else "http"
        announce(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")
        server.run([listening])
    finally:
        listening.close()
    if server.failure is not None:
        raise server.failure


def open_socket(settings: Settings) -> socket.socket:
    """Raises: ServiceError where the address cannot be listened on."""
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ServiceError(f"{settings.host}:{settings.port}: {why}") from None
