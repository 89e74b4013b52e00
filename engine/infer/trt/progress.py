"""The builder's steps as one figure."""

from collections.abc import Callable
from functools import cache
from threading import Lock
from types import ModuleType
from typing import Any


def monitor(module: ModuleType, progress: Callable[[float], None]) -> Any:
    """An ``IProgressMonitor`` that tells ``progress`` how much is done, 0 to 1, never less than before.

    raised: what ``progress`` raised, Ctrl-C among it; the build ends with the next step.
    """
    return _monitor_class(module)(progress)


@cache
def _monitor_class(module: ModuleType) -> Any:
    class Monitor(module.IProgressMonitor):  # type: ignore[misc, name-defined]
        """Phases lie in phases: a phase is its share of the step in which it began."""

        def __init__(self, progress: Callable[[float], None]) -> None:
            super().__init__()
            self.raised: BaseException | None = None
            self._progress = progress
            self._lock = Lock()
            self._phases: dict[str, tuple[float, float, int]] = {}  # name -> where it begins, its length, its steps
            self._at: dict[str, float] = {}
            self._done = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._lock:
                start, length = 0.0, 1.0
                if parent_phase in self._phases:
                    _, whole, steps = self._phases[parent_phase]
                    start, length = self._at[parent_phase], whole / max(1, steps)
                self._phases[phase_name] = (start, length, num_steps)
                self._at[phase_name] = start
            self._tell(start)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self._lock:
                if phase_name not in self._phases:
                    return self.raised is None
                start, length, steps = self._phases[phase_name]
                self._at[phase_name] = start + length * min(1.0, (step + 1) / max(1, steps))
            self._tell(self._at[phase_name])
            return self.raised is None

        def phase_finish(self, phase_name: str) -> None:
            with self._lock:
                start, length, _ = self._phases.pop(phase_name, (0.0, 0.0, 0))
                self._at.pop(phase_name, None)
            self._tell(start + length)

        def _tell(self, done: float) -> None:
            """From threads of TensorRT, into which no exception may go back."""
            with self._lock:
                if self.raised is not None or done <= self._done:
                    return
                self._done = min(1.0, done)
                try:
                    self._progress(self._done)
                except BaseException as error:
                    self.raised = error

    return Monitor
