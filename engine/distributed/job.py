"""What an actor can be asked, and where a job of many units stands."""

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from .pace import Counted, Pace

Unit = TypeVar("Unit")
Result = TypeVar("Result")


class Opened(NamedTuple):
    """An actor that can work: its machine's name, and what all actors must agree in."""

    place: str
    facts: Mapping[str, str | int]


class Worker(Protocol):
    """What lives in an actor. ``progress`` is called while ``work`` runs, in another thread."""

    def open(self) -> Opened: ...
    def work(self, number: int, unit: Any, *common: Any) -> Any: ...
    def progress(self) -> tuple[int, Counted]:
        """The number of the unit that is worked at, or was last, and how far it is."""
        ...


@dataclass(eq=False)
class Member:
    """An actor and what it is at: opening (no place yet), a unit, or nothing (no task)."""

    actor: Any
    task: Any
    place: str = ""
    unit: int | None = None
    last: int | None = None
    pace: Pace = field(default_factory=lambda: Pace.begun(time.monotonic()))
    poll: Any = None


@dataclass(eq=False)
class Job(Generic[Unit, Result]):
    """Units by their numbers: those that wait, what came of those that are done, and what is known of the others."""

    units: Sequence[Unit]
    common: tuple[object, ...]
    waiting: deque[int]
    results: dict[int, Result] = field(default_factory=dict)
    counted: dict[int, Counted] = field(default_factory=dict)
    attempts: Counter[int] = field(default_factory=Counter)
    moved: set[int] = field(default_factory=set)
    rates: list[float] = field(default_factory=list)
