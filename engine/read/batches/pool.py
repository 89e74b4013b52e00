"""A few objects that serve one thread at a time each."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Generic, TypeVar

T = TypeVar("T")


class Pool(Generic[T]):
    """Up to ``most`` objects. The first is made at once, so that what cannot be made is known; others when they are needed.

    One with which something failed is not used again: inputs that it was given may still wait in it.
    """

    def __init__(self, make: Callable[[], T], most: int) -> None:
        self._make = make
        self._idle: deque[T] = deque([make()])
        self._free = BoundedSemaphore(most)

    @contextmanager
    def one(self) -> Iterator[T]:
        """An object that no other thread has, for the block; waits until there is one."""
        with self._free:
            try:
                item = self._idle.pop()
            except IndexError:
                item = self._make()
            yield item
            self._idle.append(item)
