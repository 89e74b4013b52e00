"""Seconds of every stage on one machine. Stages share nothing but files, so that M machines take 1/M of the hours."""

import math

from .figure import Figure, count_text, seconds_text
from .rates import Rates
from .task import Task

SHARD_SECONDS = 1800.0
"""Wanted of a shard: a killed one loses little, and starting it does not count."""
_OTHER_COMMANDS = 3  # embedding the queries, merge, search


def shards(task: Task, rates: Rates) -> int:
    """Parts of the references that take about ``SHARD_SECONDS`` each."""
    return max(1, math.ceil(task.references * rates.seconds.reference / SHARD_SECONDS))


def without_second_look(task: Task, rates: Rates) -> list[Figure]:
    """Images to descriptor files to the best pairs, exactly."""
    seconds = rates.seconds
    n, q = count_text(task.references), count_text(task.queries)
    commands = shards(task, rates) + _OTHER_COMMANDS
    return [
        _times("embed the references", task.references, seconds.reference, f"{n} references"),
        _times("embed the queries", task.queries, seconds.query, f"{q} queries"),
        _times("merge the parts", task.references, seconds.merge_row, f"{n} rows"),
        exact_search(task, rates),
        _times("start the commands", commands, seconds.start, f"{count_text(commands)} commands"),
    ]


def exact_search(task: Task, rates: Rates) -> Figure:
    """The best pairs over everything: linear in the references, in the pairs looked at, and in those found."""
    seconds = rates.seconds
    parts = (
        (task.references, seconds.scan_row, f"{count_text(task.references)} rows"),
        (
            task.references * task.queries,
            seconds.scan_pair,
            f"{count_text(task.references)} x {count_text(task.queries)} pairs",
        ),
        (task.found, seconds.found_pair, f"{count_text(task.found)} found"),
    )
    formula = " + ".join(f"{what} x {seconds_text(each)}" for _, each, what in parts)
    return Figure("search, exact", sum(number * each for number, each, _ in parts), "s", formula)


def with_second_look(task: Task, rates: Rates) -> list[Figure]:
    """Images to a collection with local features, and queries matched with it (``match``, mode verify)."""
    seconds, views = rates.seconds, rates.sizes.views
    n, q = count_text(task.references), count_text(task.queries)
    nearest = task.queries * views * task.references * seconds.nearest_pair
    return [
        _times("fill the collection", task.references, seconds.collect, f"{n} references"),
        _times("look twice at the queries", task.queries, seconds.verify, f"{q} queries"),
        Figure(
            "search for their views, exact",
            nearest,
            "s",
            f"{q} queries x {views:.3g} views x {n} references x {seconds_text(seconds.nearest_pair)}",
        ),
    ]


def total(figures: list[Figure]) -> Figure:
    return Figure("together", math.fsum(one.value for one in figures), "s", "the sum")


def _times(name: str, number: int, each: float, what: str) -> Figure:
    return Figure(name, number * each, "s", f"{what} x {seconds_text(each)}")
