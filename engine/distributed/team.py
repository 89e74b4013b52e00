"""Actors that work off units, each one at a time, whatever dies meanwhile.

An actor that dies, or fails, is replaced, and its unit is handed out again; one that stands still, or is far slower than the
others when nothing else is left to do, is replaced as well. What every machine must agree in is compared before it gets work.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Generic

from ..errors import ClusterError
from .causes import cause_of, is_final, said_of
from .cluster import Cluster, Staffing, deferred_signals
from .job import Job, Member, Result, Unit
from .pace import Counted, Pace

log = logging.getLogger(__name__)

ATTEMPTS = 3
_LOOK_SECONDS = 1.0
_WAITING_SECONDS = 60.0

Report = Callable[[Mapping[int, Counted]], None]
"""Told how far each unit is, by its number."""


class Team(Generic[Unit, Result]):
    """Actors of one kind, which stay from one call of :meth:`work` to the next; they end with the ``with`` block.

    arguments: what every worker is made with. measure: what a finished unit counts for. name: what a unit is called. attempts:
    how often a unit, or a start, may fail. patience: seconds without progress after which a unit is taken away; None where
    workers do not tell how far they are.
    """

    def __init__(
        self,
        cluster: Cluster,
        staff: Staffing,
        worker: type,
        arguments: Sequence[object],
        *,
        measure: Callable[[Result], Counted],
        name: Callable[[Unit], str],
        attempts: int = ATTEMPTS,
        patience: float | None = None,
    ) -> None:
        self.facts: dict[str, tuple[str | int, str]] = {}
        """What actors agree in, each with the machine that said so first."""
        self.lost = 0
        """Units that were handed out again."""
        self.ready: float | None = None
        """When the first actor could work (``time.perf_counter``)."""
        self._cluster, self._ray = cluster, cluster.ray
        self._staff, self._worker, self._arguments = staff, worker, arguments
        self._measure, self._name = measure, name
        self._attempts, self._patience = attempts, patience
        self._members: list[Member] = []
        self._failed_starts = 0
        self._begun, self._looked, self._told = time.monotonic(), 0.0, False
        self._several = len(cluster.machines()) > 1

    def __enter__(self) -> "Team[Unit, Result]":
        return self

    def __exit__(self, *error: object) -> None:
        for member in list(self._members):
            self._dismiss(member)

    def expect(self, facts: Mapping[str, str | int], place: str) -> None:
        """Make sure that a machine agrees with the others. Raises: ClusterError."""
        for name, value in facts.items():
            known, first = self.facts.setdefault(name, (value, place))
            if known != value:
                raise ClusterError(f"machines differ in their {name}: {known} on {first}, {value} on {place}")

    def work(self, units: Sequence[Unit], *common: object, report: Report = lambda counted: None) -> list[Result]:
        """The result of every unit, in their order. common: what the work on each gets besides.

        Raises: ClusterError for a unit, or a start, that keeps failing; what a worker raises where another attempt would too.
        """
        job: Job[Unit, Result] = Job(units, common, deque(range(len(units))))
        with deferred_signals() as hear:
            while len(job.results) < len(units):
                self._fill(job)
                self._hand_out(job)
                busy = {member.task: member for member in self._members if member.task is not None}
                for task in self._ray.wait(list(busy), timeout=_LOOK_SECONDS)[0]:
                    self._settle(busy[task], job)
                if time.monotonic() - self._looked >= _LOOK_SECONDS:
                    self._look(job)
                    report(job.counted)
                hear()
        report(job.counted)
        return [job.results[number] for number in range(len(units))]

    def _fill(self, job: Job[Unit, Result]) -> None:
        while len(self._members) < min(self._staff.actors, len(job.units) - len(job.results)):
            given = {"threads": self._staff.threads, "gpus": self._staff.gpus}
            actor = self._cluster.actor(self._worker, *self._arguments, **given)
            self._members.append(Member(actor, actor.open.remote()))

    def _hand_out(self, job: Job[Unit, Result]) -> None:
        """Each idle actor gets the unit that it had last, which it may still hold, else the next one."""
        for member in self._members:
            if member.task is None and job.waiting:
                number = member.last if member.last in job.waiting else job.waiting[0]
                assert number is not None
                job.waiting.remove(number)
                member.unit = member.last = number
                member.pace, member.poll = Pace.begun(time.monotonic()), None
                member.task = member.actor.work.remote(number, job.units[number], *job.common)

    def _settle(self, member: Member, job: Job[Unit, Result]) -> None:
        """Take what a task came to."""
        try:
            came = self._ray.get(member.task)
        except Exception as error:  # Ray's own, and whatever a worker raised
            member.place = member.place or str(getattr(error, "ip", ""))
            self._lose(member, job, cause_of(error, self._ray))
            return
        member.task = None
        if member.unit is None:
            self.expect(came.facts, came.place)
            member.place = came.place
            self._failed_starts = 0
            self.ready = self.ready or time.perf_counter()
            return
        now = time.monotonic()
        counted = self._measure(came)
        member.pace.saw(counted, now)
        if member.pace.first is not None and counted.done > member.pace.first:
            job.rates.append(member.pace.rate(now))
        job.results[member.unit], job.counted[member.unit] = came, counted
        member.unit = None

    def _lose(self, member: Member, job: Job[Unit, Result], cause: Exception) -> None:
        """Part with an actor that failed; its unit waits again. Raises: see :meth:`work`."""
        self._dismiss(member)
        text = said_of(cause, member.place if self._several else "")
        if is_final(cause):
            raise type(cause)(text) from None
        if member.unit is None:
            self._failed_starts += 1
            if self._failed_starts >= self._attempts:
                raise ClusterError(
                    f"{self._failed_starts} actors in a row could not be started; the last: {text}"
                ) from None
            log.warning("an actor is started again: %s", text)
            return
        name = self._name(job.units[member.unit])
        job.attempts[member.unit] += 1
        if (count := job.attempts[member.unit]) >= self._attempts:
            raise ClusterError(f"{name} failed {count} times, the last time because {text}") from None
        log.warning("%s is handed out again: %s", name, text)
        self.lost += 1
        job.waiting.append(member.unit)

    def _look(self, job: Job[Unit, Result]) -> None:
        """See how far everyone is, and who stands still or falls behind."""
        now = self._looked = time.monotonic()
        if self.ready is None and now - self._begun > _WAITING_SECONDS and not self._told:
            self._told = True
            log.warning("no actor of %d processors has started in a minute; waiting", self._staff.threads)
        for member in [member for member in self._members if member.unit is not None]:
            assert member.unit is not None
            if (counted := self._asked(member)) is not None:
                job.counted[member.unit] = counted
                member.pace.saw(counted, now)
            if self._patience is not None and member.pace.stalled(now, self._patience):
                self._lose(member, job, TimeoutError(f"no progress in {self._patience:g} s"))
            elif self._may_be_faster_elsewhere(member, job, now):
                log.warning("%s is slow and handed to another actor", self._name(job.units[member.unit]))
                self._dismiss(member)
                self.lost += 1
                job.moved.add(member.unit)
                job.waiting.append(member.unit)

    def _may_be_faster_elsewhere(self, member: Member, job: Job[Unit, Result], now: float) -> bool:
        idle = any(other.task is None for other in self._members)
        if self._patience is None or not idle or job.waiting or not job.rates or member.unit in job.moved:
            return False
        return member.pace.slow(now, median(job.rates))

    def _asked(self, member: Member) -> Counted | None:
        """How far an actor's unit is, where it has answered since it was last asked."""
        counted = None
        if member.poll is not None:
            if not self._ray.wait([member.poll], timeout=0)[0]:
                return None
            try:
                number, counted = self._ray.get(member.poll)
            except Exception:  # what is the matter with it its task will tell
                number = None
            counted = counted if number == member.unit else None
        member.poll = member.actor.progress.remote()
        return counted

    def _dismiss(self, member: Member) -> None:
        self._members.remove(member)
        self._ray.kill(member.actor, no_restart=True)
