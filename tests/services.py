"""A service in a thread of the test's own process, behind a real socket."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

from copytrace.engine.serve import Settings
from copytrace.engine.serve.server import Server, open_socket
from copytrace.engine.serve.service import Service

from conftest import PHOTOS


class Running:
    """service, and a client that calls it."""

    def __init__(self, service: Service, url: str) -> None:
        self.service = service
        self.url = url
        self.client = httpx.Client(base_url=url, timeout=60)

    def add(self, *images: tuple[str, bytes], **more: Any) -> dict[str, Any]:
        answer = self.client.post("/v1/references", files=[("images", image) for image in images], **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def match(self, *images: tuple[str, bytes], **params: Any) -> list[dict[str, Any]]:
        params = {"verify": "none"} | params
        answer = self.client.post("/v1/match", files=[("images", image) for image in images], params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]


@contextmanager
def running(path: Path, **settings: Any) -> Iterator[Running]:
    """A service that is ready."""
    chosen = Settings(**{"no_auth": True, "port": 0, "log_level": "warning", "threads": 2} | settings)
    listening = open_socket(chosen)
    server = Server(Service(path, chosen))
    thread = Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        while server._service.state == "starting" and thread.is_alive():
            time.sleep(0.01)
        assert server.failure is None, server.failure
        found = Running(server._service, f"http://127.0.0.1:{listening.getsockname()[1]}")
        with found.client:
            yield found
    finally:
        server.should_exit = True
        thread.join()


def photo(number: int) -> bytes:
    return (PHOTOS / "references" / f"R{number:04d}.jpg").read_bytes()
