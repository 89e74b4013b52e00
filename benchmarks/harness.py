"""Interleaved timing: every contender once a round, median and range over the rounds, and what machine it was."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from copytrace.engine.bench import machine_record, machine_text

PAUSE = 0.2  # seconds between contenders: BLAS threads keep a processor busy for a while after their last call


@dataclass(frozen=True)
class Times:
    """Seconds of one contender, one entry per round."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Ratio:
    """How many times as fast one contender was as another, round by round, and what was asked for."""

    name: str
    values: list[float]
    wanted: float
    at_most: bool = False

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def reached(self) -> bool:
        return self.median <= self.wanted if self.at_most else self.median >= self.wanted

    def line(self) -> str:
        sign = "<=" if self.at_most else ">="
        spread = f"{min(self.values):.3g} to {max(self.values):.3g}"
        verdict = "" if self.reached else "   NOT REACHED"
        return f"{self.name:<74} {self.median:7.3f}   ({spread}; wanted {sign} {self.wanted:g}){verdict}"


def interleave(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Run every contender once without counting, then ``rounds`` times in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: Times(values) for name, values in seconds.items()}


def ratio(name: str, slow: Times, fast: Times, wanted: float, scale: float = 1.0) -> Ratio:
    """slow / fast, pair by pair; ``scale`` evens out different amounts of work."""
    return Ratio(name, [scale * a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)], wanted)


def machine() -> str:
    """One line on the processor and the libraries that matter."""
    return machine_text(machine_record())
