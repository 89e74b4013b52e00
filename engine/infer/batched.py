"""A network that computes batches of a few fixed sizes, several of them side by side."""

import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..device import DeviceArray
from ..errors import BundleError, CopytraceError
from .buffers import Buffers
from .network import Pixels

log = logging.getLogger(__name__)

Rows = NDArray[np.float32] | DeviceArray


class Lane(Protocol):
    """A runtime with memory of its own: computes one batch at a time, beside other lanes."""

    @property
    def buffers(self) -> Buffers: ...

    def run(self, bucket: int) -> None:
        """Give the buffers' stream the task of computing ``bucket`` images, one of the sizes that the lane was made for.

        Raises: DeviceError, BundleError.
        """
        ...


class BatchedNetwork:
    """A network over lanes; a :class:`~copytrace.engine.infer.network.NetworkOnCard`.

    buckets: the sizes of batches that the lanes know. A batch between two sizes is computed as the larger one, of which the
    rest is not looked at. Other sizes may be computed by other kernels, which add in another order: before anything else, noise
    is computed in each size, and a size whose rows are not those of the largest to the last bit is not used. So a row depends
    on its image alone, on one card, with one engine; how far a size was off is logged. Where even the place in the batch
    changes a row, a warning says by how much.
    Raises: BundleError, DeviceError, when the first batches fail.
    """

    def __init__(
        self, path: Path, lanes: Sequence[Lane], buckets: Sequence[int], size: int, dimension: int, runtime: str
    ) -> None:
        self.path = path
        self.input_size, self.dimension = size, dimension
        self.runtime = runtime
        self.batch = max(buckets)
        noise = np.random.default_rng(0).integers(0, 256, (self.batch, size, size, 3), np.uint8)
        alike = self._alike(lanes, noise)
        self.lanes, self.place = len(alike), alike[0].buffers.place
        self.buckets = self._exact(alike[0], sorted(buckets), noise)
        self._free: LifoQueue[Lane] = LifoQueue()
        for lane in alike:
            self._free.put(lane)

    def __call__(self, pixels: Pixels) -> NDArray[np.float32]:
        """uint8 RGB [N, S, S, 3] -> float32 [N, E]. Raises: BundleError, DeviceError when the network fails."""
        rows = np.empty((len(pixels), self.dimension), np.float32)
        self._compute(pixels, rows)
        return rows

    def rows_on_card(self, pixels: Pixels) -> DeviceArray:
        """uint8 RGB [N, S, S, 3] -> float32 [N, E] on the card. Raises: as calling does."""
        rows = DeviceArray.empty((len(pixels), self.dimension), np.float32, self._device())
        self._compute(pixels, rows)
        return rows

    def _device(self) -> int:
        lane = self._free.get()
        self._free.put(lane)
        return lane.buffers.device

    def _compute(self, pixels: Pixels, rows: Rows) -> None:
        """All of it, batch after batch; on as many lanes as are free, on one at least."""
        self._check(pixels)
        under_way: deque[Lane] = deque()
        try:
            for start in range(0, len(pixels), self.batch):
                lane = self._next(under_way)
                under_way.append(lane)
                stop = min(start + self.batch, len(pixels))
                self._begin(lane, pixels[start:stop], rows[start:stop])
            while under_way:
                self._finish(under_way)
        finally:
            for lane in under_way:  # of a call that failed
                self._drain(lane)
                self._free.put(lane)

    def _next(self, under_way: deque[Lane]) -> Lane:
        """A free lane; without one the call's own oldest. It waits for others' only where it holds none, so that no two wait
        for each other."""
        if not under_way:
            return self._free.get()
        try:
            return self._free.get_nowait()
        except Empty:
            self._finish(under_way)
            return self._free.get() if not under_way else self._next(under_way)

    def _begin(self, lane: Lane, pixels: Pixels, rows: Rows) -> None:
        lane.buffers.load(pixels)
        lane.run(next(bucket for bucket in self.buckets if bucket >= len(pixels)))
        lane.buffers.fetch(rows)

    def _finish(self, under_way: deque[Lane]) -> None:
        under_way[0].buffers.wait()
        self._free.put(under_way.popleft())

    def _drain(self, lane: Lane) -> None:
        try:
            lane.buffers.wait()
        except CopytraceError as error:
            log.warning("%s: %s", self.path.name, error)

    def _check(self, pixels: Pixels) -> None:
        wanted = (self.input_size, self.input_size, 3)
        if pixels.dtype != np.uint8 or tuple(pixels.shape[1:]) != wanted:
            raise BundleError(f"{self.path} takes uint8 [N, {', '.join(map(str, wanted))}], not {_shown(pixels)}")

    def _alike(self, lanes: Sequence[Lane], noise: NDArray[np.uint8]) -> list[Lane]:
        """The lanes that give the first one's rows to the last bit: each may have chosen its kernels by itself."""
        rows = [self._alone(lane, noise, self.batch) for lane in lanes]
        alike = [lane for lane, some in zip(lanes, rows, strict=True) if some.tobytes() == rows[0].tobytes()]
        if len(alike) < len(lanes):
            log.warning("%s on %s: %d of %d lanes agree", self.path.name, self.runtime, len(alike), len(lanes))
        return alike

    def _exact(self, lane: Lane, buckets: list[int], noise: NDArray[np.uint8]) -> list[int]:
        """The sizes whose rows are, to the last bit, those of the largest."""
        rows = self._alone(lane, noise, self.batch)
        turned = np.roll(self._alone(lane, np.roll(noise, 1, axis=0), self.batch), -1, axis=0)
        if rows.tobytes() != turned.tobytes():
            off = float(np.abs(rows - turned).max())
            log.warning("%s on %s: the place in a batch changes a row by up to %.3g", self.path.name, self.runtime, off)
        kept = [self.batch]
        for bucket in reversed(buckets[:-1]):
            part = self._alone(lane, noise[:bucket], bucket)
            if part.tobytes() == rows[:bucket].tobytes():
                kept.insert(0, bucket)
            else:
                off = float(np.abs(part - rows[:bucket]).max())
                text = "%s on %s: %d together differ by up to %.3g from %d together; not used"
                log.info(text, self.path.name, self.runtime, bucket, off, self.batch)
        return kept

    def _alone(self, lane: Lane, pixels: NDArray[np.uint8], bucket: int) -> NDArray[np.float32]:
        rows = np.empty((len(pixels), self.dimension), np.float32)
        lane.buffers.load(pixels)
        lane.run(bucket)
        lane.buffers.fetch(rows)
        lane.buffers.wait()
        return rows


def buckets_up_to(most: int) -> list[int]:
    """The sizes of batches for at most ``most`` images: 1, 8, 32, 128, 512, ... below it, and itself."""
    sizes = [1, *(8 * 4**power for power in range(6))]
    return [*(size for size in sizes if size < most), most]


def _shown(array: Pixels) -> str:
    return f"{array.dtype} {list(array.shape)}"
