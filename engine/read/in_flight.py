"""A bound on the pixels that all threads of the process decode at one time."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock

_turn = Lock()
_changed = Condition()
_pixels = 0


@contextmanager
def in_flight(pixels: int, limit: int) -> Iterator[None]:
    """Wait until ``pixels`` more fit under ``limit`` beside those of the other threads, and hold them for the block.

    Who comes first is served first, so that small pictures do not keep a huge one waiting for ever. An image that is alone
    is always let through.
    """
    global _pixels
    with _turn, _changed:
        while _pixels and _pixels + pixels > limit:
            _changed.wait()
        _pixels += pixels
    try:
        yield
    finally:
        with _changed:
            _pixels -= pixels
            _changed.notify()
