"""Ordered work on several threads, which may stay."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Threads:
    """``count`` threads that are started when they are first needed and stay; a forked process starts its own."""

    def __init__(self, count: int, name: str) -> None:
        self.count = count
        self._name = name
        self._pools: dict[int, ThreadPoolExecutor] = {}  # of each process

    def map(self, function: Callable[[T], R], items: Iterable[T], window: int) -> Generator[R, None, None]:
        """See :func:`map_ordered`."""
        return map_ordered(self._started(), function, items, window)

    def _started(self) -> ThreadPoolExecutor:
        """No lock that a fork could find held: the first pool to come stays, and one beside it has not started anything."""
        here = os.getpid()
        return self._pools.get(here) or self._pools.setdefault(here, ThreadPoolExecutor(self.count, self._name))


def map_ordered(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], window: int
) -> Generator[R, None, None]:
    """``map`` over a pool, results in the order of the items, at most ``window`` of them under way.

    Left early, what has not begun is called off, and what has is waited for.
    """
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        wait(pending)
