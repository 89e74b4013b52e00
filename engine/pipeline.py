"""Joins the stages: images become descriptors, results in the order of the images.

A thread takes a batch of images all the way, or, where the embedder says so, decoding and networks run side by side. What waits
is bounded, so memory does not grow with the number of images; and since results leave in the order in which images came,
nothing depends on timing.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain, islice
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .device import DeviceArray
from .embedder import Damaged, Decoded, Embedder, Float32, Output, Raw, Views
from .parallel import Threads
from .read import Image, PixelImage
from .store import Slice

T = TypeVar("T")

MOST_WAITING = 8192
"""Decoded pictures that wait for networks at most, however many processors there are: two gigabytes at 288 pixels."""


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


class Pipeline:
    """An embedder with threads that stay. May be used from several threads at once, which share its own."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._decoders = Threads(embedder.decoders, "decode")
        self._workers = Threads(embedder.workers, "infer")

    def embed(
        self,
        images: Iterable[Image | PixelImage],
        output: Output,
        *,
        damaged: Damaged = "keep",
        views: Views = "whole",
        timers: StageTimers | None = None,
        count: int | None = None,
        alone: bool = True,
    ) -> Iterator[Slice]:
        """Images -> slices of up to one batch, in order. A bad image is an item with a reason and has no row.

        damaged: whether damaged images get a row; they are listed either way. views: which rows an image gives, with labels
        unless it is "whole". count: how many images there are, where that
        is known: few are shared out among the threads, and a single one is computed where the call is made. alone: False where
        other calls keep the threads busy; then all is computed where the call is made, since handing it over costs a tenth.
        """
        timers = timers or StageTimers()

        def decode(chunk: list[Image | PixelImage]) -> list[Decoded]:
            with timers.measure("read and decode"):
                return [_with_damaged(decoded, damaged) for decoded in self.embedder.decode(chunk, views)]

        def embed(group: list[Decoded]) -> Slice:
            part = _embed_group(self.embedder, group, output, timers)
            if views == "whole":
                return part
            kept = zip(group, part.items, strict=True)
            return replace(part, views=[decoded.labels for decoded, (_, why) in kept if why is None])

        if count == 1 or not alone:
            yield from map(embed, [decode(list(images))])
            return
        decoders, workers = self._decoders, self._workers
        if not self.embedder.two_stages:
            batches = chunks_of(images, self._fitted(count, workers.count))
            with closing(workers.map(lambda some: embed(decode(some)), batches, 2 * workers.count + 1)) as slices:
                yield from slices
            return
        # A batch's worth of images per task: handed over one by one they took a seventh longer.
        size = self._fitted(count, decoders.count)
        window = min(2 * decoders.count + 1, max(2, MOST_WAITING // size))
        with closing(decoders.map(decode, chunks_of(images, size), window)) as chunks:
            groups = _full_batches(chain.from_iterable(chunks), self._fitted(count, workers.count))
            with closing(workers.map(embed, groups, workers.count + 1)) as slices:
                yield from slices

    def _fitted(self, count: int | None, threads: int) -> int:
        """Images per task: a batch, or less where every thread would not get one."""
        return self.embedder.batch if count is None else max(1, min(self.embedder.batch, -(-count // threads)))


def _embed_group(embedder: Embedder, group: list[Decoded], output: Output, timers: StageTimers) -> Slice:
    """Pixels to rows. An image of which a row is not finite becomes a bad one, and has none."""
    reasons = [decoded.reason for decoded in group]
    pixels = [one for decoded in group for one in decoded.all_pixels]
    owners = np.repeat(np.arange(len(group)), [len(decoded.all_pixels) for decoded in group])
    rows = np.empty((0, embedder.dimension(output)), np.float32)
    if pixels:
        with timers.measure("infer"):
            raw = embedder.embed(pixels)
        with timers.measure("describe"):
            rows, finite = _describe_finite(embedder, raw, output)
        bad = np.unique(owners[~finite])
        rows = rows[~np.isin(owners[finite], bad)]
        for position in bad.tolist():
            reasons[position] = "the network's values for it are not finite"
    items = [(decoded.id, why) for decoded, why in zip(group, reasons, strict=True)]
    return Slice(items, rows, [(decoded.id, decoded.damage) for decoded in group if decoded.damage is not None])


def _describe_finite(embedder: Embedder, raw: Raw, output: Output) -> tuple[Float32, NDArray[np.bool_]]:
    """The finite rows among those of raw embeddings [N, E], float32 [n, D], and which they are, bool [N]."""
    if isinstance(raw, DeviceArray):
        try:
            rows = embedder.describe(raw, output)
            if np.isfinite(rows).all():
                return rows, np.ones(len(rows), np.bool_)
        except ValueError:
            pass
        raw = raw.to_host()  # to find those that are not
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


def _with_damaged(decoded: Decoded, damaged: Damaged) -> Decoded:
    if damaged == "keep" or decoded.damage is None:
        return decoded
    return Decoded(decoded.id, None, f"damaged, left out: {decoded.damage}", decoded.damage)


def chunks_of(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Consecutive lists of ``size`` items, the last one shorter."""
    rest = iter(items)
    return iter(lambda: list(islice(rest, size)), [])


def _full_batches(decoded: Iterable[Decoded], batch: int) -> Iterator[list[Decoded]]:
    """Runs of images with at least one batch of rows to compute each; bad ones take no place in it."""
    group: list[Decoded] = []
    good = 0
    for item in decoded:
        group.append(item)
        good += len(item.all_pixels)
        if good >= batch or len(group) >= 64 * batch:
            yield group
            group, good = [], 0
    if group:
        yield group
