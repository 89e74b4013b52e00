"""Joins the stages: images become descriptors, decoding and networks side by side, results in the order of the images.

Everything between two stages waits in a bounded window, so memory does not grow with the number of images; and since results
leave in the order in which images came, nothing depends on timing.
"""

import os
import time
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
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

Picture = str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[np.uint8]
"""A path, an encoded image, or pixels uint8 (RGB [H, W, 3] or grey [H, W])."""

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
        return _embed_group(embedder, group, output, timers)

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


def _embed_group(embedder: Embedder, group: list[Decoded], output: Output, timers: StageTimers) -> Slice:
    """Pixels to rows. An image whose row is not finite becomes a bad one, and has none."""
    reasons = [value.reason if isinstance(value, BadImage) else None for _, value, _ in group]
    damages = [(name, damage) for name, _, damage in group if damage is not None]
    pixels = [value for _, value, _ in group if not isinstance(value, BadImage)]
    rows = np.empty((0, embedder.dimension(output)), np.float32)
    if pixels:
        with timers.measure("infer"):
            raw = embedder.network(np.stack(pixels))
        with timers.measure("describe"):
            rows, finite = _describe_finite(embedder, raw, output)
        for position, kept in zip([i for i, why in enumerate(reasons) if why is None], finite.tolist(), strict=True):
            if not kept:
                reasons[position] = "the network's values for it are not finite"
    return Slice([(name, why) for (name, _, _), why in zip(group, reasons, strict=True)], rows, damages)


def _describe_finite(
    embedder: Embedder, raw: NDArray[np.float32], output: Output
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The finite rows among those of raw embeddings [N, E], float32 [n, D], and which they are, bool [N]."""
    finite = np.asarray(np.isfinite(raw).all(axis=1), np.bool_)
    try:
        rows = embedder.describe(raw[finite], output)
    except ValueError:  # finite, but so large that their projections are not: find them one by one
        for row in np.flatnonzero(finite):
            try:
                embedder.describe(raw[row : row + 1], output)
            except ValueError:
                finite[row] = False
        rows = embedder.describe(raw[finite], output)
    good = np.isfinite(rows).all(axis=1)
    finite[finite] = good
    return rows[good], finite


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
    embedder: Embedder, images: Picture | Iterable[Picture], output: Output, damaged: Damaged = "keep"
) -> NDArray[np.float32]:
    """Paths, encoded images or uint8 pixels, or a single one of these -> float32 [N, D], one row each, in the order given.

    damaged: "keep" embeds damaged images, with a DamagedImageWarning; with "skip" they cannot be used.
    Raises: BadImageError naming every image that cannot be used; ValueError for arrays that are not pixels; TypeError for
    anything else.
    """

    def decode(numbered: tuple[int, Picture]) -> Decoded:
        index, image = numbered
        if isinstance(image, np.ndarray):
            return f"image {index}", _pixels(image, index, embedder.network.input_size), None
        if isinstance(image, bytes | bytearray | memoryview):
            return _with_damaged(embedder.decode(Image(f"image {index}", lambda: bytes(image))), damaged)
        if isinstance(image, str | os.PathLike):
            return _with_damaged(embedder.decode(Image(os.fspath(image), partial(read_file, image))), damaged)
        raise TypeError(f"image {index} must be {_ALLOWED}, not {type(image).__name__}")

    check_damaged(damaged)
    batch, threads = embedder.network.batch, embedder.threads
    with ThreadPoolExecutor(threads) as decoders, ThreadPoolExecutor(threads) as networks:
        timers = StageTimers()

        def embed(group: list[Decoded]) -> Slice:
            return _embed_group(embedder, group, output, timers)

        stream = map_ordered(decoders, decode, enumerate(_listed(images)), (threads + 1) * batch)
        parts = list(map_ordered(networks, embed, _chunks(stream, batch), threads + 1))
    bad = sorted(f"{name}: {why}" for part in parts for name, why in part.items if why is not None)
    if bad:
        raise BadImageError("; ".join(bad))
    if kept := sorted(f"{name}: {damage}" for part in parts for name, damage in part.damaged):
        warnings.warn("damaged: " + "; ".join(kept), DamagedImageWarning, stacklevel=3)
    return np.concatenate([np.empty((0, embedder.dimension(output)), np.float32), *(part.rows for part in parts)])


_ALLOWED = "a path, the bytes of an encoded image, or uint8 pixels (RGB [H, W, 3] or grey [H, W])"


def _listed(images: Picture | Iterable[Picture]) -> Iterable[Picture]:
    """Several images as they are, a single one as a list of one. Raises: TypeError for what is neither."""
    if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview):
        return [images]
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OSU":  # pixels; arrays of text are paths
        return images if images.ndim == 4 else [images]
    if isinstance(images, Mapping | Set) or not isinstance(images, Iterable):
        raise TypeError(f"images must be {_ALLOWED}, or a sequence of these, not {type(images).__name__}")
    return images


def _pixels(image: NDArray[np.uint8], index: int, size: int) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"image {index} must be uint8 RGB [H, W, 3] or grey [H, W], not {image.dtype} {image.shape}")
    return stretch(np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image, size)
