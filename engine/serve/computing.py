"""What a batch does: images of many requests become descriptors together, and are searched together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from ..embedder import Output
from ..pipeline import Pipeline, StageTimers
from ..read import Image
from .live import LiveReferences


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of one image: its row, and the ``k`` references nearest to it (0: none)."""

    data: bytes
    output: Output
    k: int = 0


@dataclass(frozen=True, slots=True)
class Computed:
    """What became of it: a row float32 [D] or the reason why there is none; what is damaged about the image.

    nearest: (id, score) of references, the best first; score = -(squared distance). seconds: of the stages of its batch.
    """

    row: NDArray[np.float32] | None
    reason: str | None
    damaged: str | None
    nearest: list[tuple[str, float]]
    seconds: dict[str, float]


class Computing:
    """Safe to use from several threads."""

    def __init__(self, pipeline: Pipeline, references: LiveReferences) -> None:
        self._pipeline = pipeline
        self._references = references

    def __call__(self, tasks: Sequence[Wanted]) -> list[Computed]:
        """One result for each task, in their order, whatever came together with it."""
        timers = StageTimers()
        found: dict[int, Computed] = {}
        for output in sorted({task.output for task in tasks}):
            places = [place for place, task in enumerate(tasks) if task.output == output]
            found |= self._embed(tasks, places, output, timers)
        seconds = timers.seconds()
        begun = perf_counter()
        nearest = self._search(tasks, {place: one.row for place, one in found.items() if one.row is not None})
        seconds["search"] = perf_counter() - begun
        return [
            Computed(one.row, one.reason, one.damaged, nearest.get(place, []), seconds)
            for place, one in sorted(found.items())
        ]

    def _embed(
        self, tasks: Sequence[Wanted], places: list[int], output: Output, timers: StageTimers
    ) -> dict[int, Computed]:
        images = [Image(str(place), partial(_same, tasks[place].data)) for place in places]
        found = {}
        for part in self._pipeline.embed(images, output, timers=timers, count=len(images)):
            rows, damages = iter(part.rows), dict(part.damaged)
            for place, why in part.items:
                row = None if why else next(rows)
                found[int(place)] = Computed(row, why, damages.get(place), [], {})
        return found

    def _search(
        self, tasks: Sequence[Wanted], rows: dict[int, NDArray[np.float32]]
    ) -> dict[int, list[tuple[str, float]]]:
        """One scan for all; of the most that one wants, each gets the best of its own."""
        places = [place for place in rows if tasks[place].k]
        if not places:
            return {}
        found = self._references.nearest(np.stack([rows[place] for place in places]), max(tasks[p].k for p in places))
        return {place: pairs[: tasks[place].k] for place, pairs in zip(places, found, strict=True)}


def _same(data: bytes) -> bytes:
    return data
