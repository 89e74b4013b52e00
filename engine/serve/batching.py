"""Images of many requests computed together: a queue bounded in images, and a few batches under way at a time.

At rest a batch begins at once, and an image waits for nothing. Beside another one a batch begins when it is full, or some
milliseconds after its first image came: images that come together, as those do whose clients were all answered by the batch
before, are computed together.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Generic, TypeVar

GATHER_SECONDS = 0.008

Task = TypeVar("Task")
Result = TypeVar("Result")


class QueueFullError(Exception):
    """There is no room for so many images."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[Task, Result]):
    task: Task
    future: "asyncio.Future[tuple[Result, float]]"
    since: float = field(default_factory=perf_counter)


class Batcher(Generic[Task, Result]):
    """Runs ``compute`` on up to ``batch`` tasks at a time, in ``slots`` threads. Belongs to one event loop.

    most: tasks that may wait. observe: told the size of every batch that begins.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Task]], Sequence[Result]],
        *,
        most: int,
        batch: int,
        slots: int = 2,
        observe: Callable[[int], object] = lambda size: None,
    ) -> None:
        self._compute = compute
        self._most = most
        self._batch = batch
        self._slots = self._free = slots
        self._timer: asyncio.TimerHandle | None = None
        self._observe = observe
        self._queue: deque[_Waiting[Task, Result]] = deque()
        self._waiting = 0
        self._threads = ThreadPoolExecutor(slots, "batch")
        self._running: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Tasks that nobody has given up, and that have not begun."""
        return self._waiting

    @property
    def is_full(self) -> bool:
        return self._waiting >= self._most

    def submit(self, tasks: Sequence[Task]) -> list["asyncio.Future[tuple[Result, float]]"]:
        """Futures of (result, seconds it waited); one that is cancelled before it begins costs nothing further.

        Raises: QueueFullError unless there is room for all of them.
        """
        if self._waiting + len(tasks) > self._most:
            raise QueueFullError
        loop = asyncio.get_running_loop()
        added = [_Waiting(task, loop.create_future()) for task in tasks]
        for one in added:
            one.future.add_done_callback(self._given_up)
        self._queue.extend(added)
        self._waiting += len(added)
        self._begin()
        return [one.future for one in added]

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._running:
            await asyncio.wait(self._running)
        self._threads.shutdown()

    def _given_up(self, future: "asyncio.Future[tuple[Result, float]]") -> None:
        if future.cancelled():
            for one in self._queue:
                if one.future is future:
                    self._queue.remove(one)
                    self._waiting -= 1
                    return

    def _begin(self) -> None:
        while self._free and self._queue:
            if self._free < self._slots and len(self._queue) < self._batch:
                left = self._queue[0].since + GATHER_SECONDS - perf_counter()
                if left > 0:
                    self._gather(left)
                    return
            some = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
            self._waiting -= len(some)
            some = [one for one in some if not one.future.cancelled()]  # their callbacks have not been called yet
            if not some:
                continue
            self._free -= 1
            running = asyncio.get_running_loop().create_task(self._run(some))
            self._running.add(running)
            running.add_done_callback(self._running.discard)

    def _gather(self, seconds: float) -> None:
        """Look again after a while."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._gathered)

    def _gathered(self) -> None:
        self._timer = None
        self._begin()

    async def _run(self, some: list[_Waiting[Task, Result]]) -> None:
        begun = perf_counter()
        self._observe(len(some))
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._threads, self._compute, [one.task for one in some])
            for one, result in zip(some, results, strict=True):
                if not one.future.done():
                    one.future.set_result((result, begun - one.since))
        except Exception as error:
            for one in some:
                if not one.future.done():
                    one.future.set_exception(error)
        finally:
            self._free += 1
            self._begin()
