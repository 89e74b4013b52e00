"""A bound on the pixels that all threads of the process decode at one time."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Condition, Lock

_LARGE = (
    1 << 22
)  # pixels from which on memory is handed back; below, allocating it anew would take longer than it is worth


_turn = Lock()
_changed = Condition()
_pixels = 0


def _start_at_nothing() -> None:
    """In a forked process: the threads that had pixels in flight, or waited for their turn, stayed behind."""
    global _turn, _changed, _pixels
    _turn, _changed, _pixels = Lock(), Condition(), 0


os.register_at_fork(after_in_child=_start_at_nothing)


@contextmanager
def in_flight(pixels: int, limit: int) -> Iterator[None]:
    """Wait until ``pixels`` more fit under ``limit`` beside those of the other threads, and hold them for the block.

    Who comes first is served first, so that small pictures do not keep a huge one waiting for ever. An image that is alone
    is always let through. What large pictures took goes back to the system at the end of the block.
    """
    global _pixels
    with _turn, _changed:
        while _pixels and _pixels + pixels > limit:
            _changed.wait()
        _pixels += pixels
    try:
        yield
    finally:
        if pixels >= _LARGE:
            _trim()
        with _changed:
            _pixels -= pixels
            _changed.notify()


def _trim() -> None:
    """Hand freed memory back: glibc keeps up to 64 MB for each thread, and so many threads' huge pictures would add up."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none and need none
