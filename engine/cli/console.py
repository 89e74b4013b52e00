"""What the command line shows: results on standard output, progress and errors on standard error."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..infer import Building
from ..run import Progress as Report

errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
PLAIN_SECONDS = 5.0


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM, with what there is to say; no KeyboardInterrupt, which the command line library would catch."""


def print_result(result: Mapping[str, Any], text: str, as_json: bool) -> None:
    """One JSON object for machines, or the text for people."""
    print(json.dumps(dict(result), ensure_ascii=False) if as_json else text)


@contextmanager
def progress_bar(label: str) -> Iterator[Report]:
    """A bar with rate and time left on a terminal, a plain line every few seconds elsewhere."""
    if not errors.is_terminal:
        yield _plain_lines(label)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]} failed"),
    )
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(label, total=None, rate=0.0, failed=0)
        rate = _Rate()
        yield lambda done, total, failed: bar.update(task, completed=done, total=total, rate=rate(done), failed=failed)


@contextmanager
def building_shown() -> Iterator[Building]:
    """How far TensorRT is with an engine, which takes minutes, once: a bar on a terminal, elsewhere a line as it begins."""
    if not errors.is_terminal:
        yield lambda what, done: None if done else errors.print(f"building {what}; this takes a while, once")
        return
    columns = (TextColumn("building {task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with Progress(*columns, console=errors, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: float) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=1.0)
            bar.update(tasks[what], completed=done)

        yield show


class _Warnings(logging.Handler):
    """A line for each of the engine's warnings, but for those of single images, which every summary lists."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(lambda record: record.name not in _OF_IMAGES)

    def emit(self, record: logging.LogRecord) -> None:
        errors.print("warning: " + " ".join(record.getMessage().split()))


_OF_IMAGES = ("copytrace.engine.run", "copytrace.engine.gathering", "copytrace.engine.source_metadata")
_warnings = _Warnings()


def show_warnings(wanted: bool) -> None:
    """Whether the engine's log is heard: what computes in the place of what was wished, above all. The service logs itself."""
    log = logging.getLogger("copytrace")
    (log.addHandler if wanted else log.removeHandler)(_warnings)


class _Rate:
    """Images per second since the first call, which says where a resumed run began."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None

    def __call__(self, done: int) -> float:
        now = time.perf_counter()
        if self._start is None:
            self._start = (now, done)
        elapsed = now - self._start[0]
        return (done - self._start[1]) / elapsed if elapsed > 0 else 0.0


def _plain_lines(label: str) -> Report:
    rate, last = _Rate(), time.perf_counter()

    def line(done: int, total: int, failed: int) -> None:
        nonlocal last
        speed = rate(done)
        if time.perf_counter() - last >= PLAIN_SECONDS:
            last = time.perf_counter()
            left = f", {(total - done) / speed:.0f} s left" if speed else ""
            print(f"{label}: {done}/{total}, {speed:.0f}/s{left}, {failed} failed", file=sys.stderr, flush=True)

    return line
