"""A command run as a stage: its time on the wall and on the processors, and the most memory that it and its children held."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PAUSE = 0.05


@dataclass
class Stage:
    """What one command took. peak_mib: resident memory of the whole process tree, the greatest sum of what was seen."""

    name: str
    wall_s: float
    processor_s: float
    peak_mib: float
    ended: str = "done"
    result: dict[str, Any] = field(default_factory=dict)


def run(name: str, command: Sequence[str | Path], kill_when: Callable[[], bool] | None = None) -> Stage:
    """Run a command that prints one JSON object. kill_when: end it by SIGKILL as soon as this is true.

    Raises: SystemExit where it fails, or ends before it could be killed.
    """
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    streams = _Streams(process)
    peak, killed = 0.0, False
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        peak = max(peak, tree_mib(process.pid))
        if kill_when is not None and not killed and kill_when():
            process.kill()
            killed = True
        time.sleep(_PAUSE)
    wall = time.perf_counter() - start
    _, status, used = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    output, messages = streams.text()
    peak = max(peak, used.ru_maxrss / 1024)  # what a last sample may have missed, of the largest process
    stage = Stage(name, wall, used.ru_utime + used.ru_stime, peak, "killed" if killed else "done")
    if process.returncode != (-9 if killed else 0):
        raise SystemExit(f"{name}: exit code {process.returncode}\n{output}{messages}")
    if kill_when is not None and not killed:
        raise SystemExit(f"{name}: ended before it could be killed; take more images")
    if not killed:
        stage.result = json.loads(output)
    return stage


class _Streams:
    """Both outputs of a process, read so that it never waits for them."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._parts: list[bytes] = [b"", b""]
        self._threads = [threading.Thread(target=self._read, args=(i, process)) for i in range(2)]
        for thread in self._threads:
            thread.start()

    def _read(self, i: int, process: subprocess.Popen[bytes]) -> None:
        stream = (process.stdout, process.stderr)[i]
        assert stream is not None
        with stream:
            self._parts[i] = stream.read()

    def text(self) -> tuple[str, str]:
        for thread in self._threads:
            thread.join()
        return self._parts[0].decode(), self._parts[1].decode()


def tree_mib(root: int) -> float:
    """Resident memory of a process and all below it, in MiB; those that have ended meanwhile count nothing."""
    total, waiting = 0, [root]
    while waiting:
        process = Path("/proc", str(waiting.pop()))
        try:
            total += int((process / "statm").read_text().split()[1])
            for thread in (process / "task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
        except OSError:
            continue
    return total * os.sysconf("SC_PAGE_SIZE") / 2**20
