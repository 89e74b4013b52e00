"""An open-loop load generator, a process of its own: requests leave at random times, whether or not earlier ones were answered.

A client that waits for its answers slows down with the service and hides its delays. Here every delay counts from the moment
at which a request was to leave. One line of JSON on standard output for each line of JSON on standard input:

    {"rate": requests per second, 0 for as fast as ``clients`` get answers, "seconds": ..., "clients": ...}
    {"begun": [...], "seconds": [...], "status": [...], "processor": CPU seconds of this process, "wall": ...}
"""

import asyncio
import json
import random
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Log:
    """Of every request: when it was to leave, the seconds until its answer, its status (0: the connection failed)."""

    begun: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    status: list[int] = field(default_factory=list)

    def add(self, begun: float, seconds: float, status: int) -> None:
        self.begun.append(begun)
        self.seconds.append(seconds)
        self.status.append(status)


class Connection(asyncio.Protocol):
    """One request at a time, by HTTP/1.1."""

    def __init__(self) -> None:
        self.open = False
        self._answer: asyncio.Future[int] | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.open = True

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(0)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self.open = self.open and b"connection: close" not in lower
            self._answer.set_result(int(head[9:12]))

    async def send(self, request: bytes) -> int:
        """The status of its answer."""
        self._data = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self._transport.close()


class Load:
    """Sends ``requests`` one after the other, over and over, and keeps connections that are free."""

    def __init__(self, host: str, port: int, requests: Sequence[bytes]) -> None:
        self._address = host, port
        self._requests = requests
        self._free: deque[Connection] = deque()
        self._next = 0

    async def at(self, rate: float, seconds: float) -> Log:
        """Requests at the times of a Poisson process."""
        log, tasks = Log(), set()
        begun = due = time.perf_counter()
        while due < begun + seconds:
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self._one(log, due, begun))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due += random.expovariate(rate)
        while tasks:
            await asyncio.wait(tasks)
        return log

    async def saturating(self, clients: int, seconds: float) -> Log:
        """Clients that send their next request as soon as they have an answer."""
        log, begun = Log(), time.perf_counter()

        async def client() -> None:
            while (now := time.perf_counter()) < begun + seconds:
                await self._one(log, now, begun)

        await asyncio.gather(*(client() for _ in range(clients)))
        return log

    async def _one(self, log: Log, due: float, begun: float) -> None:
        request = self._requests[self._next % len(self._requests)]
        self._next += 1
        status = 0
        try:
            connection = await self._connection()
            status = await connection.send(request)
            if connection.open:
                self._free.append(connection)
            else:
                connection.close()
        except OSError:
            pass
        log.add(due - begun, time.perf_counter() - due, status)

    async def _connection(self) -> Connection:
        while self._free:
            connection = self._free.pop()
            if connection.open:
                return connection
        _, connection = await asyncio.get_running_loop().create_connection(Connection, *self._address)
        return connection


def multipart(images: Sequence[Path], path: str, host: str) -> bytes:
    """A whole request with some images."""
    parts = b"".join(
        b'--B0\r\nContent-Disposition: form-data; name="images"; filename="%s"\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n'
        % (image.name.encode(), image.read_bytes())
        for image in images
    )
    body = parts + b"--B0--\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=B0\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def _serve(load: Load) -> None:
    for line in iter(sys.stdin.readline, ""):
        order: dict[str, Any] = json.loads(line)
        wall, processor = time.perf_counter(), time.process_time()
        if order["rate"]:
            log = await load.at(order["rate"], order["seconds"])
        else:
            log = await load.saturating(order["clients"], order["seconds"])
        spent = {"processor": time.process_time() - processor, "wall": time.perf_counter() - wall}
        print(json.dumps(vars(log) | spent), flush=True)


def main() -> None:
    """Arguments: HOST:PORT, the path and query of the route, a list of images, images in one request."""
    address, path, images, count = sys.argv[1:]
    host, _, port = address.partition(":")
    files = [Path(line) for line in Path(images).read_text().splitlines()]
    size = int(count)
    requests = [multipart(files[i : i + size], path, address) for i in range(0, len(files) - size + 1, size)]
    asyncio.run(_serve(Load(host, int(port), requests)))


if __name__ == "__main__":
    main()
