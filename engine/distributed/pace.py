"""How fast a unit of work goes, and whether it has stopped or falls behind."""

from dataclasses import dataclass, field
from typing import NamedTuple

SLOW = 3.0
"""How many times as long as elsewhere what is left may take."""
_BEFORE_THE_FIRST = 12.0
_RESTART_SECONDS = 30.0  # what it costs to hand a unit to another actor, and the least time to judge by


class Counted(NamedTuple):
    """Images, or rows, of a unit: done, in all, failed."""

    done: int
    total: int
    failed: int = 0


@dataclass(slots=True)
class Pace:
    """What was seen of a unit since it was handed out; times in seconds of a monotonic clock."""

    started: float
    moved: float
    """When it was last seen to be further than before."""
    first: int | None = None
    """What was done already when it was first seen."""
    counted: Counted = field(default=Counted(0, 0))

    @classmethod
    def begun(cls, now: float) -> "Pace":
        return cls(now, now)

    def saw(self, counted: Counted, now: float) -> None:
        if counted.done != self.counted.done:
            self.moved = now
        if self.first is None and counted.total:
            self.first = counted.done
        self.counted = counted

    def rate(self, now: float) -> float:
        """Per second."""
        return max(0, self.counted.done - (self.first or 0)) / max(now - self.started, 1e-9)

    def stalled(self, now: float, patience: float) -> bool:
        """Whether it has not moved for so many seconds; much longer before the first image, while all are looked at."""
        return now - self.moved > (patience if self.counted.total else _BEFORE_THE_FIRST * patience)

    def slow(self, now: float, typical: float) -> bool:
        """Whether what is left would be done much sooner at the ``typical`` rate, even after a new start."""
        left = self.counted.total - self.counted.done
        if now - self.started < _RESTART_SECONDS or not self.counted.total or left <= 0 or typical <= 0:
            return False
        rate = self.rate(now)
        return rate == 0 or left / rate > SLOW * left / typical + _RESTART_SECONDS
