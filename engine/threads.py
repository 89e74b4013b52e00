"""How many threads there are to use."""

import math
import os
from contextlib import suppress
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")  # in a container its own


def cpu_count() -> int:
    """Processors this process may use: by its affinity, and by the time that its container is granted."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(count, _granted())))


def _granted() -> float:
    """Processors' time in a second, by cgroups of version 2 or 1; infinity where nothing is said."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return int(quota) / int(period)  # "max" is no number: no limit
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((_CGROUP / "cpu" / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    return math.inf
