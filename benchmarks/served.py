"""What benchmarks of the service share: a collection of random rows, the process, its load generator, what both used."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np

from copytrace.engine import Collection, Engine
from copytrace.engine.alike import FEATURES, MATCHING, OUTPUT, open_collection
from copytrace.engine.run import describe_run

COMMAND = str(Path(sys.executable).parent / "copytrace")
_ROWS = 50_000


def unit_rows(rng: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    """Random rows float32 [count, dimension] of length 1."""
    rows = rng.standard_normal((count, dimension), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def random_collection(engine: Engine, path: Path, count: int) -> None:
    """A collection of random unit rows without local features, as if the engine had made them."""
    embedder, rng = engine.embedder, np.random.default_rng(0)
    properties = {FEATURES: False, MATCHING: engine.bundle.matching}
    attributes = describe_run(embedder, "reference", OUTPUT)
    with open_collection(path, engine.dimension, attributes, properties=properties) as collection:
        for start in range(0, count, _ROWS):
            size = min(_ROWS, count - start)
            collection.add([f"r{start + i:07d}" for i in range(size)], unit_rows(rng, size, engine.dimension))


def matrix(path: Path) -> tuple[list[str], np.ndarray]:
    """All ids of a collection and their rows."""
    with Collection.open(path) as collection:
        descriptors = collection.descriptors()
        return descriptors.ids, descriptors[:]


class Served:
    """``copytrace serve`` as a process of its own, ready. seconds: from its start until then."""

    def __init__(self, path: Path, *options: str) -> None:
        begun = time.perf_counter()
        command = [COMMAND, "serve", str(path), "--port", "0", "--no-auth", "--log-level", "error", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        if not line.startswith("serving "):
            raise SystemExit(line + self.process.stderr.read())
        self.url = line.split()[-1]
        while not self.is_ready():
            time.sleep(0.05)
        self.seconds = time.perf_counter() - begun

    def is_ready(self) -> bool:
        return httpx.get(f"{self.url}/readyz").status_code == 200

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def processor_seconds(self) -> float:
        """CPU seconds that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, name: str = "VmRSS") -> int:
        """Bytes that are resident now, or with "VmHWM" that ever were."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(60)


@dataclass(frozen=True)
class Answers:
    """Of each request: when it was to leave and the seconds until its answer, both float64 [N]; its status [N].

    processor, client: CPU seconds of the service and of the load generator. wall: seconds in all.
    """

    begun: np.ndarray
    seconds: np.ndarray
    status: np.ndarray
    processor: float
    client: float
    wall: float

    @property
    def good(self) -> np.ndarray:
        return self.seconds[self.status == 200]

    @property
    def rate(self) -> float:
        """Requests per second that were answered 200."""
        return len(self.good) / self.wall

    def milliseconds(self, percentile: float) -> float:
        return 1000 * float(np.percentile(self.good, percentile)) if len(self.good) else float("nan")


class Generator:
    """The process of ``open_loop``."""

    def __init__(self, served: Served, path: str, images: Path, size: int) -> None:
        self._served = served
        command = [sys.executable, "-m", "benchmarks.open_loop", served.address, path, str(images), str(size)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def at(self, rate: float, seconds: float) -> Answers:
        """Requests at random times, so many per second."""
        return self._run({"rate": rate, "seconds": seconds})

    def saturating(self, clients: int, seconds: float) -> Answers:
        """Clients that wait for nothing but their own answers."""
        return self._run({"rate": 0, "seconds": seconds, "clients": clients})

    def _run(self, order: dict[str, Any]) -> Answers:
        before = self._served.processor_seconds()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        used = self._served.processor_seconds() - before
        columns = (np.array(found[name]) for name in ("begun", "seconds", "status"))
        return Answers(*columns, used, found["processor"], found["wall"])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


@contextmanager
def generating(served: Served, path: str, images: Path, size: int) -> Iterator[Generator]:
    generator = Generator(served, path, images, size)
    try:
        yield generator
    finally:
        generator.close()


def write_list(images: Sequence[Path], path: Path) -> Path:
    """A list of paths, as the engine and the load generator read it."""
    path.write_text("\n".join(map(str, images)))
    return path
