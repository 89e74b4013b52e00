"""Which TensorRT there is, and what it says."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import RLock
from types import ModuleType
from typing import Any

from ...errors import DeviceError, DeviceMemoryError, MissingExtraError, optional_module
from ..one_line import one_line

MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
"""In this order; all have the same API. The last is what pip's packages of TensorRT for RTX bring, the middle one NVIDIA's own
archive."""
OLDEST = 10
_LACKING = (
    "out of memory",
    "outofmemory",
    "workspace limit",
    "workspace memory",
    "cudaerror 2:",
    "insufficient memory",
)


@dataclass(frozen=True, eq=False, slots=True)
class Library:
    """An imported TensorRT. name: "tensorrt" or "tensorrt_rtx". log: what all of its objects report to."""

    module: ModuleType
    name: str
    version: str
    log: Any

    def __str__(self) -> str:
        return f"{'TensorRT' if self.name == 'tensorrt' else 'TensorRT for RTX'} {self.version}"

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """What goes wrong until the block ends, a line each. One block at a time: TensorRT has one log for all of a process."""
        with self.log.turn:
            self.log.lines.clear()
            yield self.log.lines

    def error(self, what: str, lines: list[str]) -> DeviceError:
        """The error for something that failed: ``what``, and the first thing that was logged of it."""
        said = [one_line(line) for line in lines]
        kind = DeviceMemoryError if any(word in line.lower() for line in said for word in _LACKING) else DeviceError
        return kind(f"{self} {what}: {said[0] if said else 'it does not say why'}")


@cache
def find_library() -> Library:
    """The first of ``MODULES`` that is installed. Raises: MissingExtraError; DeviceError for one that is too old."""
    problems = []
    for name in MODULES:
        try:
            return opened(optional_module(name, "gpu"))
        except MissingExtraError as error:
            problems.append(error)
    broken = [error for error in problems if not isinstance(error.__cause__, ModuleNotFoundError)]
    raise (broken or problems)[0]


def opened(module: ModuleType) -> Library:
    """An imported module as a library. Raises: DeviceError for one that is too old."""
    version = str(module.__version__)
    name = module.__name__.partition(".")[0].removesuffix("_bindings")
    if name == "tensorrt" and int(version.partition(".")[0]) < OLDEST:
        raise DeviceError(f"TensorRT {version} is too old; {OLDEST} or newer is needed")
    return Library(module, name, version, _log_of(module))


@cache
def _log_of(module: ModuleType) -> Any:
    class Log(module.ILogger):  # type: ignore[misc, name-defined]
        """Keeps errors, passes over the rest."""

        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []
            self.turn = RLock()
            self._errors = (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR)

        def log(self, severity: Any, message: str) -> None:
            if severity in self._errors:
                self.lines.append(message)

    return Log()
