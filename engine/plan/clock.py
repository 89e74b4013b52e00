"""Seconds of a task: on the wall or, where the machine does other things too, what its processors worked."""

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """threads: that most tasks use. by_processor: instead of the time on the wall take the work of the processors, of N
    threads an Nth; a quiet machine takes a little longer."""

    threads: int
    by_processor: bool = False

    def median(self, rounds: int, task: Callable[[], object], *, threads: int | None = None) -> float:
        """Seconds of a task, the median of several times. threads: that it uses (default: all)."""
        return statistics.median(self._once(task, threads or self.threads) for _ in range(rounds))

    def _once(self, task: Callable[[], object], threads: int) -> float:
        start = self._now()
        task()
        return (self._now() - start) / (threads if self.by_processor else 1)

    def _now(self) -> float:
        """Seconds, of child processes that have ended too."""
        if not self.by_processor:
            return time.perf_counter()
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime
