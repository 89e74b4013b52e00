"""A figure, what was asked of it, and whether it was reached."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from copytrace.engine import CopytraceError


@dataclass(frozen=True)
class Figure:
    """values: one a round. wanted: at least that, or with ``at_most`` no more; None for what is told only."""

    name: str
    values: list[float]
    wanted: float | None = None
    at_most: bool = False

    @property
    def median(self) -> float:
        return sorted(self.values)[len(self.values) // 2]

    @property
    def reached(self) -> bool | None:
        if self.wanted is None:
            return None
        return self.median <= self.wanted if self.at_most else self.median >= self.wanted

    def line(self) -> str:
        asked = "" if self.wanted is None else f"; wanted {'<=' if self.at_most else '>='} {self.wanted:g}"
        verdict = "   NOT REACHED" if self.reached is False else ""
        return (
            f"{self.name:<72} {self.median:10.4g}   ({min(self.values):.4g} to {max(self.values):.4g}{asked}){verdict}"
        )

    def record(self) -> dict[str, object]:
        return {**asdict(self), "median": self.median, "reached": self.reached}


@dataclass
class Report:
    """Figures as they come; a part that cannot be measured is told with its reason, and the others go on."""

    figures: list[Figure]
    failed: dict[str, str]

    def measure(self, part: str, run: Callable[[], list[Figure]]) -> None:
        try:
            found = run()
        except (CopytraceError, ImportError, RuntimeError, ValueError, AssertionError) as error:
            self.failed[part] = " ".join(str(error).split()) or type(error).__name__
            print(f"{part}: {self.failed[part]}", flush=True)
            return
        for figure in found:
            print(figure.line(), flush=True)
        self.figures += found
