"""A contender in a process of its own, as it would be run: what one leaves to the allocator, and threads of its libraries that
wait busily, are no other's.
"""

import multiprocessing
import time
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np

KINDS = ("programs", "models")


class Apart:
    """kind: which of KINDS has the contender. Raises: SystemExit where it cannot be made, or dies."""

    def __init__(self, kind: str, name: str, threads: int) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._end, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(kind, name, threads, there))
        self._process.start()
        there.close()
        self._received()  # it is made

    def run(self, *task: Any) -> tuple[np.ndarray, float, float]:
        """Rows [N, D]; seconds by the clock, and of all processors."""
        self._end.send(task)
        found: tuple[np.ndarray, float, float] = self._received()
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end.close()
        self._process.join(10)
        self._process.kill()

    def _received(self) -> Any:
        try:
            return self._end.recv()
        except EOFError:
            raise SystemExit(f"{self.name}: its process ended; what it printed says why") from None


def _serve(kind: str, name: str, threads: int, end: Connection) -> None:
    """Make the contender, and run it for every task until there are no more."""
    from .models import MODELS
    from .programs import PROGRAMS

    run = (PROGRAMS if kind == "programs" else MODELS)[name](threads)
    end.send(None)
    while True:
        try:
            task = end.recv()
        except EOFError:
            return
        wall, processor = time.perf_counter(), time.process_time()
        rows = np.asarray(run(*task), np.float32)
        end.send((rows, time.perf_counter() - wall, time.process_time() - processor))
