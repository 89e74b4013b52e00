"""What to choose, each time by a rule that is said with the answer."""

import math
from dataclasses import dataclass

from . import space, work
from .figure import bytes_text, count_text, seconds_text
from .rates import Rates
from .task import Task

ONE_QUERY_SECONDS = 0.1
"""What a query at a service may wait for the search."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One question of a plan, what to choose, and by which numbers."""

    question: str
    choice: str
    why: str


def choices(task: Task, rates: Rates, machines: int) -> list[Choice]:
    """machines: those there are, or that the hours ask for."""
    return [
        batch_search(task, rates),
        service_search(task, rates, machines),
        second_look(task, rates, machines),
        sources(task, rates),
        files(task, rates),
    ]


def batch_search(task: Task, rates: Rates) -> Choice:
    """Exact as long as it takes no longer than embedding: then no index could halve the work."""
    exact = work.exact_search(task, rates).value
    embedding = sum(one.value for one in work.without_second_look(task, rates)[:2])
    exactly = exact <= embedding
    return Choice(
        "all queries at once",
        "exact search" if exactly else "an index (Milvus) for candidates, their distances computed exactly",
        f"exact search takes {exact / embedding:.3g} of the time of embedding ({seconds_text(exact)},"
        f" {seconds_text(embedding)}, one machine); up to 1 it is worth it"
        + ("" if exactly else ". An index's time and recall were not measured"),
    )


def service_search(task: Task, rates: Rates, machines: int) -> Choice:
    """Exact where the machines there are hold all rows, and scan them in ``ONE_QUERY_SECONDS``."""
    raw = 4 * rates.dimension
    memory = space.INDEX_OF_ROWS * raw * task.references
    scan = rates.seconds.one_query_row * task.references
    by_memory = math.ceil(memory / (space.USABLE * rates.memory_bytes))
    by_time = math.ceil(scan / ONE_QUERY_SECONDS)
    needed = max(1, by_memory, by_time)
    numbers = (
        f"{bytes_text(memory)} in memory: {_machines(max(1, by_memory))}; one query scans {count_text(task.references)} x "
        f"{seconds_text(rates.seconds.one_query_row)} = {seconds_text(scan)}: {_machines(max(1, by_time))} for "
        f"{seconds_text(ONE_QUERY_SECONDS)}"
    )
    if needed <= machines:
        what = "exact search, all rows in memory"
        return Choice("one query at a time, as a service", f"{what}, on {_machines(needed)}", numbers)
    index, several = _smallest_index(task, rates, machines)
    return Choice(
        "one query at a time, as a service",
        f"an index (Milvus {index.name}, by memory on {_machines(several)}), its candidates' distances computed exactly",
        f"{numbers}, and there are {machines}. {index.name}: {bytes_text(index.memory * task.references)} in memory, "
        f"{bytes_text(index.disk * task.references)} on disk; its time and recall were not measured",
    )


def second_look(task: Task, rates: Rates, machines: int) -> Choice:
    """Mode full where the index of local features fits into the memory of the machines there are."""
    figure = space.voting(task, rates)
    room = machines * space.USABLE * rates.memory_bytes
    fits = figure.value <= room
    return Choice(
        "second look",
        "match --mode full" if fits else "match --mode verify: it needs no index of local features",
        f"local features take {bytes_text(figure.value)} of memory; there are {bytes_text(room)} on {_machines(machines)}",
    )


def sources(task: Task, rates: Rates) -> Choice:
    """Sources that are embedded apart, so that half of a machine's memory holds the list of one."""
    most = max(1, int(rates.memory_bytes / 2 / space.LISTED_IMAGE))
    needed = math.ceil(task.references / most)
    parts = max(work.shards(task, rates), needed)
    return Choice(
        "how to cut the references",
        f"one source in {count_text(parts)} shard{'s' if parts > 1 else ''}"
        if needed == 1
        else f"{count_text(needed)} sources of at most {count_text(most)} images, {count_text(parts)} shards in all",
        f"a shard of about {seconds_text(work.SHARD_SECONDS)}; every process lists its whole source, {space.LISTED_IMAGE} B "
        f"an image, in half of {bytes_text(rates.memory_bytes)}",
    )


def files(task: Task, rates: Rates) -> Choice:
    """One file where one process can merge and search it; queries in pieces of which a quarter of its memory holds one."""
    merge = space.MERGED_ROW * task.references
    search = space.SEARCHED_ROW * task.references
    room = space.USABLE * rates.memory_bytes
    most = max(1, int(rates.memory_bytes / 4 / (2 * 4 * rates.dimension)))
    choice = (
        "merge the parts into one"
        if merge <= room
        else "leave the parts as they are, search all queries in each, and keep the best"
    )
    if task.queries > most:
        choice += f"; {count_text(most)} queries at a time"
    return Choice(
        "one file of descriptors, or many",
        choice,
        f"merging takes {bytes_text(merge)}, ids while searching {bytes_text(search)} of memory in one process; there are"
        f" {bytes_text(room)}",
    )


def _smallest_index(task: Task, rates: Rates, machines: int) -> tuple[space.Ann, int]:
    """The first that fits into the memory of the machines there are, else the smallest; with the machines that it takes."""
    room = space.USABLE * rates.memory_bytes
    found = [(one, math.ceil(one.memory * task.references / room)) for one in space.ann_indexes(rates.dimension)]
    return next((pair for pair in found if pair[1] <= machines), min(found, key=lambda pair: pair[0].memory))


def _machines(number: int) -> str:
    return "1 machine" if number == 1 else f"{count_text(number)} machines"
