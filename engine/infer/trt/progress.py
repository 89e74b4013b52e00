"""The builder's steps as one figure."""

from collections.abc import Callable
from functools import cache
from threading import RLock
from types import ModuleType
from typing import Any


class Steps:
    """Phases lie in phases: a phase is its share of the step in which it began. Told of them, it tells ``progress`` how much is
    done, 0 to 1, never less than before.

    raised: what ``progress`` raised, or Ctrl-C; from then on it is silent, and the build is to end.
    """

    def __init__(self, progress: Callable[[float], None]) -> None:
        self.raised: BaseException | None = None
        self._progress = progress
        self._lock = RLock()  # TensorRT tells from several threads
        self._phases: dict[str, tuple[float, float, int]] = {}  # name -> where it begins, its length, its steps
        self._at: dict[str, float] = {}
        self._done = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        start, length = 0.0, 1.0
        if parent is not None and parent in self._phases:
            _, whole, of_parent = self._phases[parent]
            start, length = self._at[parent], whole / max(1, of_parent)
        self._phases[name] = (start, length, steps)
        self._at[name] = start
        self._tell(start)

    def step(self, name: str, step: int) -> None:
        if name in self._phases:
            start, length, steps = self._phases[name]
            self._at[name] = start + length * min(1.0, (step + 1) / max(1, steps))
            self._tell(self._at[name])

    def finish(self, name: str) -> None:
        start, length, _ = self._phases.pop(name, (0.0, 0.0, 0))
        self._at.pop(name, None)
        self._tell(start + length)

    def _tell(self, done: float) -> None:
        if self.raised is None and done > self._done:
            self._done = min(1.0, done)
            self._progress(self._done)

    def guarded(self, told: Callable[..., None], *arguments: Any) -> bool:
        """Call one of these, and let nothing out, as TensorRT cannot catch it. Returns: whether the build may go on."""
        try:
            with self._lock:
                told(*arguments)
        except BaseException as error:
            self.raised = self.raised or error
        return self.raised is None


def monitor(module: ModuleType, steps: Steps) -> Any:
    """An ``IProgressMonitor`` that tells ``steps``."""
    return _monitor_class(module)(steps)


@cache
def _monitor_class(module: ModuleType) -> Any:
    class Monitor(module.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self, steps: Steps) -> None:
            super().__init__()
            self._steps = steps

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps.guarded(self._steps.start, phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return self._steps.guarded(self._steps.step, phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            self._steps.guarded(self._steps.finish, phase_name)

    return Monitor
