"""Joins the stages: images become descriptors, decoding and networks side by side, results in the order of the images.

Everything between two stages waits in a bounded window, so memory does not grow with the number of images; and since results
leave in the order in which images came, nothing depends on timing.
"""

import os
import time
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .embedder import Damaged, Decoded, Embedder, Output, check_damaged
from .errors import BadImageError, DamagedImageWarning
from .read import BadImage, Image, read_file, stretch
from .store import Slice

T = TypeVar("T")
R = TypeVar("R")


class StageTimers:
    """Seconds spent in each stage, added up over threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[stage] += time.perf_counter() - start

    def seconds(self) -> dict[str, float]:
        return dict(self._seconds)


def map_ordered(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], window: int) -> Iterator[R]:
    """``map`` over a pool, results in the order of the items, at most ``window`` of them under way."""
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


def embed_stream(
    embedder: Embedder, images: Iterable[Image], output: Output, timers: StageTimers, damaged: Damaged = "keep"
) -> Iterator[Slice]:
    """Images -> slices of up to one batch, in order. A bad image is an item with a reason and has no row.

    damaged: whether damaged images get a row; they are listed either way.
    """

    def decode(chunk: list[Image]) -> list[Decoded]:
        with timers.measure("read and decode"):
            return [_with_damaged(embedder.decode(image), damaged) for image in chunk]

    def embed(group: list[Decoded]) -> Slice:
        items = [(name, value.reason if isinstance(value, BadImage) else None) for name, value, _ in group]
        damages = [(name, damage) for name, _, damage in group if damage is not None]
        pixels = [value for _, value, _ in group if not isinstance(value, BadImage)]
        if not pixels:
            return Slice(items, np.empty((0, embedder.dimension(output)), np.float32), damages)
        with timers.measure("infer"):
            raw = embedder.network(np.stack(pixels))
        with timers.measure("describe"):
            return Slice(items, embedder.describe(raw, output), damages)

    threads, batch = embedder.threads, embedder.network.batch
    decoders, networks = ThreadPoolExecutor(threads, "decode"), ThreadPoolExecutor(threads, "infer")
    try:
        # A batch's worth of images per task: handed over one by one they took a seventh longer.
        chunks = map_ordered(decoders, decode, _chunks(images, batch), 2 * threads + 1)
        groups = _full_batches(chain.from_iterable(chunks), batch)
        yield from map_ordered(networks, embed, groups, threads + 1)
    finally:
        decoders.shutdown(cancel_futures=True)
        networks.shutdown(cancel_futures=True)


def _with_damaged(decoded: Decoded, damaged: Damaged) -> Decoded:
    name, _, damage = decoded
    if damaged == "keep" or damage is None:
        return decoded
    return name, BadImage(name, f"damaged, left out: {damage}"), damage


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Consecutive lists of ``size`` items, the last one shorter."""
    rest = iter(items)
    return iter(lambda: list(islice(rest, size)), [])


def _full_batches(decoded: Iterable[Decoded], batch: int) -> Iterator[list[Decoded]]:
    """Runs of images with one batch of good ones each; bad ones take no place in it."""
    group: list[Decoded] = []
    good = 0
    for item in decoded:
        group.append(item)
        good += not isinstance(item[1], BadImage)
        if good == batch or len(group) >= 64 * batch:
            yield group
            group, good = [], 0
    if group:
        yield group


def embed_images(
    embedder: Embedder,
    images: Sequence[str | os.PathLike[str] | bytes | NDArray[np.uint8]],
    output: Output,
    damaged: Damaged = "keep",
) -> NDArray[np.float32]:
    """Paths, encoded images or uint8 pixels -> float32 [N, D], one row each, in the order given.

    damaged: "keep" embeds damaged images, with a DamagedImageWarning; with "skip" they cannot be used.
    Raises: BadImageError naming every image that cannot be used; ValueError for arrays that are not pixels.
    """

    def decode(numbered: tuple[int, str | os.PathLike[str] | bytes | NDArray[np.uint8]]) -> Decoded:
        index, image = numbered
        if isinstance(image, np.ndarray):
            return str(index), _pixels(image, index, embedder.network.input_size), None
        if isinstance(image, bytes | bytearray | memoryview):
            return _with_damaged(embedder.decode(Image(f"image {index}", lambda: bytes(image))), damaged)
        return _with_damaged(embedder.decode(Image(os.fspath(image), partial(read_file, image))), damaged)

    check_damaged(damaged)
    batch, threads = embedder.network.batch, embedder.threads
    with ThreadPoolExecutor(threads) as decoders, ThreadPoolExecutor(threads) as networks:
        bad: list[BadImage] = []
        kept: list[str] = []

        def embed(group: list[Decoded]) -> NDArray[np.float32]:
            pixels = [value for _, value, _ in group if not isinstance(value, BadImage)]
            kept.extend(f"{name}: {damage}" for name, _, damage in group if damage is not None)
            if len(pixels) < len(group):
                bad.extend(value for _, value, _ in group if isinstance(value, BadImage))
                return np.empty((0, embedder.dimension(output)), np.float32)
            return embedder.describe(embedder.network(np.stack(pixels)), output)

        stream = map_ordered(decoders, decode, enumerate(images), (threads + 1) * batch)
        parts = list(map_ordered(networks, embed, _chunks(stream, batch), threads + 1))
    if bad:
        raise BadImageError("; ".join(sorted(f"{image.id}: {image.reason}" for image in bad)))
    if kept:
        warnings.warn("damaged: " + "; ".join(sorted(kept)), DamagedImageWarning, stacklevel=3)
    return np.concatenate([np.empty((0, embedder.dimension(output)), np.float32), *parts])


def _pixels(image: NDArray[np.uint8], index: int, size: int) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"image {index} must be uint8 RGB [H, W, 3] or grey [H, W], not {image.dtype} {image.shape}")
    return stretch(np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image, size)
