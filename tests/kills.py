"""Kills a service under load, over and over: what it acknowledged is there when it has been started again, and nothing else.

``python tests/kills.py --kills 50`` (``make test-kills``). Clients add, delete and match until the service is gone.
"""

import argparse
import atexit
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
from services import photo

from copytrace.engine import Collection

from bundle_files import small_bundle

COMMAND = str(Path(sys.executable).parent / "copytrace")
PHOTOS = 100


class Process:
    """``copytrace serve`` on a free port, ready."""

    def __init__(self, path: Path, bundle: Path, *options: str) -> None:
        command = [COMMAND, "serve", str(path), "--bundle", str(bundle), "--port", "0", "--no-auth", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)  # where a test fails before its end
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith("serving "):
                self.url = line.split()[-1]
                break
        else:
            raise AssertionError("it has ended")
        self.log: list[str] = []
        self.rest = threading.Thread(target=self.log.extend, args=(self.process.stderr,), daemon=True)
        self.rest.start()  # a full pipe would stop it
        while True:
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert self.process.poll() is None, "".join(self.log)
            time.sleep(0.02)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(120)
        finally:
            self.process.kill()
            self.rest.join()


class Client:
    """What one client was told: the photographs of references that were added, and ids that were deleted.

    unknown: those of which it was never told what became of them.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.choice = random.Random(number)
        self.added: dict[str, int] = {}
        self.deleted: set[str] = set()
        self.unknown: dict[str, int] = {}
        self.requests = 0
        self.names = 0
        self.failure: BaseException | None = None

    def work(self, url: str) -> None:
        """Until the service is gone."""
        try:
            with httpx.Client(base_url=url, timeout=60) as http:
                while True:
                    turn = self.choice.random()
                    if self.added and turn < 0.25:
                        self._delete(http)
                    elif self.added and turn < 0.5:
                        self._match(http)
                    else:
                        self._add(http)
                    self.requests += 1
        except httpx.TransportError:
            pass
        except BaseException as error:
            self.failure = error

    def _add(self, http: httpx.Client) -> None:
        self.names += 1
        name, number = f"{self.number}-{self.names}", self.choice.randrange(PHOTOS)
        self.unknown[name] = number
        answer = http.post("/v1/references", files={"images": (f"{name}.jpg", photo(number))})
        assert answer.json()["items"][0]["status"] == "added", answer.text
        self.added[name] = self.unknown.pop(name)

    def _delete(self, http: httpx.Client) -> None:
        name = self.choice.choice(list(self.added))
        self.unknown[name] = self.added.pop(name)
        answer = http.delete(f"/v1/references/{name}")
        assert answer.status_code == 200, answer.text
        number = self.unknown.pop(name)
        self.deleted.add(name)
        assert name not in found_by(http, number)

    def _match(self, http: httpx.Client) -> None:
        name = self.choice.choice(list(self.added))
        assert name in found_by(http, self.added[name])

    def settle(self, http: httpx.Client) -> None:
        """Find out what became of what is not known; either is right."""
        for name, number in self.unknown.items():
            status = http.get(f"/v1/references/{name}").status_code
            assert status in (200, 404)
            if status == 200:
                self.added[name] = number
            else:
                self.deleted.add(name)
        self.unknown.clear()


def found_by(http: httpx.Client, number: int) -> set[str]:
    """The ids of what a photograph finds."""
    answer = http.post("/v1/match?k=1000&verify=none", files={"images": ("q", photo(number))})
    (item,) = answer.json()["items"]
    assert answer.status_code == 200 and item["error"] is None, answer.text
    return {match["id"] for match in item["matches"]}


def check(url: str, clients: Sequence[Client]) -> None:
    """Every reference is found by its own photograph, no deleted one is, and there are no others."""
    with httpx.Client(base_url=url, timeout=60) as http:
        for client in clients:
            client.settle(http)
        added = {name: number for client in clients for name, number in client.added.items()}
        deleted = set().union(*(client.deleted for client in clients))
        for number in sorted(set(added.values())):
            found = found_by(http, number)
            lost = {name for name, of in added.items() if of == number} - found
            assert not lost, f"acknowledged and not found: {sorted(lost)}"
            assert not found & deleted, f"deleted and found: {sorted(found & deleted)}"
        assert http.get("/v1/references?limit=1").json()["count"] == len(added)


def kill_over_and_over(path: Path, bundle: Path, *options: str, kills: int, clients: int, seed: int = 0) -> str:
    """One line on what was done. options: of the service. Raises: AssertionError for whatever was lost."""
    choice = random.Random(seed)
    working = [Client(i) for i in range(clients)]
    for number in range(kills):
        process = Process(path, bundle, "--log-level", "error", *options)
        check(process.url, working)
        before = [client.requests for client in working]
        threads = [threading.Thread(target=client.work, args=(process.url,)) for client in working]
        for thread in threads:
            thread.start()
        while all(client.requests == now for client, now in zip(working, before, strict=True)):
            time.sleep(0.005)
        time.sleep(choice.uniform(0.0, 1.5))
        process.end(signal.SIGKILL)
        for thread in threads:
            thread.join()
        for client in working:
            if client.failure is not None:
                raise client.failure
        print(f"kill {number + 1}: {sum(client.requests for client in working)} requests", file=sys.stderr, flush=True)
    process = Process(path, bundle, "--log-level", "error", *options)
    check(process.url, working)
    assert process.end(signal.SIGTERM) == 0
    with Collection.open(path) as collection:
        assert collection.check() == []
    added, deleted = sum(len(client.added) for client in working), sum(len(client.deleted) for client in working)
    return f"{kills} kills, {sum(client.requests for client in working)} requests: {added} there, {deleted} deleted, none lost"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--milvus", action="store_true", help="search by an index in Milvus Lite")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = small_bundle(Path(folder) / "bundle")
        more = ["--index", f"milvus://{folder}/x.db"] if options.milvus else []
        line = kill_over_and_over(
            Path(folder) / "refs.ct", bundle, *more, kills=options.kills, clients=options.clients, seed=options.seed
        )
    print(line)


if __name__ == "__main__":
    main()
