"""Milvus Lite for tests: as a server in a process of its own, and collections of descriptors that need no images."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from copytrace.engine import Collection

DIMENSION = 16
SPACE = {"space": "0123456789ab", "precision": "int8", "output": "projected"}


class LiteServer:
    """``milvus-lite server`` on a port of its own; ``kill`` and ``start`` as often as one likes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for tries_left in reversed(range(5)):  # another process may take the port before this one has it
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            try:
                self.start()
                break
            except AssertionError:
                self.kill()
                if not tries_left:
                    raise

    def start(self) -> None:
        command = [str(Path(sys.executable).parent / "milvus-lite"), "server", "--data-dir", str(self._folder)]
        self._process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        assert "listening" in self._process.stdout.readline()

    def address(self, name: str = "refs") -> str:
        return f"milvus://127.0.0.1:{self.port}/{name}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def lite_server(folder: Path) -> Iterator[LiteServer]:
    server = LiteServer(folder)
    try:
        yield server
    finally:
        server.kill()


def descriptors(count: int, dimension: int = DIMENSION, *, seed: int = 0) -> np.ndarray:
    """Unit rows float32 in clusters, as those of photographs are."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(2, count // 20), dimension))
    rows = centres[random.integers(len(centres), size=count)] + 0.5 * random.standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def collection_of(path: Path, rows: np.ndarray, **attributes: str) -> Collection:
    """A new collection, open for changes: R00000, ..."""
    collection = Collection.create(path, rows.shape[-1], SPACE | attributes)
    collection.add([f"R{number:05d}" for number in range(len(rows))], rows)
    return collection
