"""What a batch does: images of many requests become descriptors together, and are searched and verified together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from ..bundle_embedder import BundleEmbedder
from ..collection import Blob
from ..embedder import Output
from ..errors import CopytraceError, MilvusError
from ..matches import Match
from ..pictures import Looks, Picture, picture_stream
from ..pipeline import Pipeline, StageTimers
from ..read import BadImage, Image
from ..stored_looks import stored_looks
from .live import LiveReferences
from .rejected import Rejected
from .second_look import SecondLook


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of one image: its row, and the ``k`` references nearest to it (0: none).

    looks: what else is made of it, for the second look; a query's candidates are verified then. votes: also those that most
    local features vote for.
    """

    data: bytes
    output: Output
    k: int = 0
    looks: Looks | None = None
    votes: bool = False


@dataclass(frozen=True, slots=True)
class Computed:
    """What became of it: a row float32 [D] or the reason why there is none; what is damaged about the image.

    nearest: (id, score) of references, the best first; score = -(squared distance). matches: the same after the second look.
    picture: all that was made of the image. seconds: of the stages of its batch. failure: why nothing could be searched for it.
    """

    row: NDArray[np.float32] | None
    reason: str | None
    damaged: str | None
    nearest: Sequence[tuple[str, float]] = ()
    matches: Sequence[Match] | None = None
    picture: Picture | None = None
    seconds: dict[str, float] | None = None
    failure: MilvusError | None = None

    def looks(self) -> dict[str, Blob]:
        """What is kept of a reference for the second look, by kind."""
        columns = {} if self.picture is None else stored_looks([self.picture])
        return {kind: blob for kind, (blob,) in columns.items() if blob is not None}


class Computing:
    """Safe to use from several threads. observe: told the seconds of the stages of every batch."""

    def __init__(
        self,
        embedder: BundleEmbedder,
        references: LiveReferences,
        second_look: SecondLook,
        rejected: Rejected,
        observe: Callable[[dict[str, float]], object] = lambda seconds: None,
    ) -> None:
        self._embedder = embedder
        self._observe = observe
        self._rejected = rejected
        self._pipeline = Pipeline(embedder)
        self._references = references
        self._second_look = second_look
        self._lock = Lock()
        self._under_way = 0

    def __call__(self, tasks: Sequence[Wanted]) -> list[Computed]:
        """One result for each task, in their order, whatever came together with it."""
        with self._lock:
            self._under_way += 1
        try:
            return self._compute(tasks)
        finally:
            with self._lock:
                self._under_way -= 1

    def _compute(self, tasks: Sequence[Wanted]) -> list[Computed]:
        timers = StageTimers()
        found: dict[int, Computed] = {}
        for kind in dict.fromkeys((task.output, task.looks) for task in tasks):
            places = [place for place, task in enumerate(tasks) if (task.output, task.looks) == kind]
            images = [Image(str(place), partial(_same, tasks[place].data)) for place in places]
            output, looks = kind
            found |= self._embed(images, output, timers) if looks is None else self._see(images, looks, timers)
        seconds = timers.seconds()
        begun = perf_counter()
        self._search(tasks, found)
        seconds["search"] = perf_counter() - begun
        begun = perf_counter()
        self._verify(tasks, found)
        seconds["verify"] = perf_counter() - begun
        self._observe(seconds)
        return [replace(found[place], seconds=seconds) for place in range(len(tasks))]

    def _embed(self, images: list[Image], output: Output, timers: StageTimers) -> dict[int, Computed]:
        found = {}
        alone = self._under_way == 1
        for part in self._pipeline.embed(images, output, timers=timers, count=len(images), alone=alone):
            rows, damages = iter(part.rows), dict(part.damaged)
            for place, why in part.items:
                found[int(place)] = Computed(None if why else next(rows), why, damages.get(place))
        return found

    def _see(self, images: list[Image], looks: Looks, timers: StageTimers) -> dict[int, Computed]:
        found = {}
        for item in picture_stream(self._embedder, images, looks, timers):
            if isinstance(item, BadImage):
                found[int(item.id)] = Computed(None, item.reason, None)
            else:
                found[int(item.id)] = Computed(item.descriptors[0], None, item.damage, picture=item)
        return found

    def _search(self, tasks: Sequence[Wanted], found: dict[int, Computed]) -> None:
        """One scan for all; of the most that one wants, each gets the best of its own."""
        rows = {
            place: one.row for place, one in found.items() if one.row is not None and tasks[place].k and not one.picture
        }
        if rows:
            most = max(tasks[place].k for place in rows)
            try:
                pairs = self._references.nearest(np.stack(list(rows.values())), most)
            except MilvusError as error:
                found.update({place: replace(found[place], failure=error) for place in rows})
                return
            for place, nearest in zip(rows, pairs, strict=True):
                lowered = self._rejected.lower_nearest(rows[place], nearest[: tasks[place].k])
                found[place] = replace(found[place], nearest=lowered)

    def _verify(self, tasks: Sequence[Wanted], found: dict[int, Computed]) -> None:
        """What cannot be verified has the reason; it is never answered from less."""
        for votes in (False, True):
            pictures = {
                place: one.picture
                for place, one in found.items()
                if one.picture is not None and tasks[place].k and tasks[place].votes == votes
            }
            if not pictures:
                continue
            try:
                matched = self._second_look.match(list(pictures.values()), votes=votes)
            except MilvusError as error:
                found.update({place: replace(found[place], failure=error) for place in pictures})
                continue
            except CopytraceError as error:
                for place in pictures:
                    found[place] = replace(found[place], reason=f"cannot be verified: {error}")
                continue
            for place, matches in zip(pictures, matched, strict=True):
                lowered = self._rejected.lower_matches(pictures[place].descriptors[0], matches)
                found[place] = replace(found[place], matches=lowered[: tasks[place].k])


def _same(data: bytes) -> bytes:
    return data
