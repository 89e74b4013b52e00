"""One collection being served: everything that lives as long as the process."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import cv2
import numpy as np
from fastapi import Request

from ..alike import CROPS, FEATURES, MATCHING, OUTPUT, open_collection, precision_of
from ..api import Engine
from ..collection import Keys, Reviews, StoredThresholds
from ..errors import CollectionError
from ..match.constants import MatchConstants
from ..pictures import Looks
from ..run import describe_run
from ..signals import Signals
from .access import Access
from .batching import Batcher, QueueFullError
from .computing import Computed, Computing, Wanted
from .failure import RequestError, busy
from .jobs import Jobs
from .live import Change, opened_references
from .metrics import Metrics
from .reviewing import Reviewing
from .second_look import SecondLook
from .settings import Settings
from .today import Today
from .uploads import ClientGoneError, Uploads

log = logging.getLogger(__name__)

T = TypeVar("T")
Verify = Literal["none", "candidates", "full"]
State = Literal["starting", "ready", "draining"]
SAVE_SECONDS = 60.0
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Results:
    """What was computed of a request's images, in their order, and the seconds its slowest image took by stage."""

    images: list[Computed]
    seconds: dict[str, float]


class Service:
    """Opened at once, ready after ``load``. Raises: CollectionError, BundleError, ServiceError, MissingExtraError."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.settings = settings
        self.state: State = "starting"
        precision = settings.precision or precision_of(path)
        self.engine = Engine(
            settings.bundle,
            precision=precision,
            device=settings.device,
            runtime=settings.runtime,
            threads=settings.threads,
            pixel_limit=settings.pixel_limit,
            building=_log_building,
        )
        self.bundle_hash = self.engine.bundle.recipe
        embedder = self.engine.embedder
        attributes = describe_run(embedder, "reference", OUTPUT)
        matching = self.engine.bundle.matching
        collection = open_collection(
            path,
            embedder.dimension(OUTPUT),
            attributes,
            properties={FEATURES: True, CROPS: False, MATCHING: matching},
            auto_compact=False,
        )
        if collection.properties.get(CROPS):
            collection.close()
            raise CollectionError(
                f"{path}: keeps crops of references, which only match compares; serve one without them"
            )
        if collection.properties.get(MATCHING) != matching:
            collection.set_properties(**{MATCHING: matching})
        self.keeps_features = bool(collection.properties.get(FEATURES, False))
        self.references = opened_references(collection, settings.index, settings.threads)
        self.thresholds = StoredThresholds(path)
        self.constants = MatchConstants.load(self.engine.bundle.matching_file("constants")[0])
        self.reviewing = Reviewing(Reviews(path), settings, self.constants.views)
        self.signals = Signals(self.engine.bundle)
        self.keys = Keys(path)
        self.access = Access(self.keys, no_auth=settings.no_auth, rate=settings.rate)
        self.uploads = Uploads(settings)
        self.metrics = Metrics()
        self.today = Today()
        self._second_look = second_look = SecondLook(self.engine, self.references, self.constants)
        self.references.observe = self._observe
        self._computing = Computing(
            embedder, self.references, second_look, self.reviewing.rejected, self.metrics.observe_stages
        )
        self.batcher: Batcher[Wanted, Computed] = Batcher(
            self._computing,
            most=settings.queue_images,
            batch=settings.batch_images,
            observe=self.metrics.batch_images.observe,
        )
        self._writer = ThreadPoolExecutor(1, "write")
        self._readers = ThreadPoolExecutor(2, "read")
        self._worker = ThreadPoolExecutor(1, "jobs")
        self.jobs = Jobs(self)
        self._watch()

    def load(self) -> None:
        """Bring everything into memory and compute one image. Raises: CollectionError for what is damaged, MilvusError."""
        self.references.load(lambda: self.state == "starting")
        picture = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
        for one in self._computing([self.as_reference(picture), self.as_query(picture, 1, "none")]):
            if one.failure is not None:
                raise one.failure
        if not self.settings.no_auth and not self.access.has_keys():
            log.warning("there are no keys yet, so nobody is let in: copytrace collection key add %s NAME", self.path)
        if self.state == "starting":  # and has not been told to end meanwhile
            self._worker.submit(self.jobs.run)
            self.state = "ready"

    def as_reference(self, data: bytes) -> Wanted:
        """What an image becomes that is to be added."""
        looks = Looks.of_references(self.engine.embedder, local=True) if self.keeps_features else None
        return Wanted(data, OUTPUT, looks=looks)

    def as_query(self, data: bytes, k: int, verify: Verify) -> Wanted:
        """What an image becomes whose matches are looked for."""
        embedder = self.engine.embedder
        looks = None if verify == "none" else Looks.of_queries(embedder, local=True)
        return Wanted(data, embedder.output_for("query"), k, looks, verify == "full")

    @property
    def path(self) -> Path:
        return self.references.collection.path

    async def compute(self, request: Request, wanted: Sequence[Wanted]) -> Results:
        """Let images be computed. Raises: RequestError when there is no room or time, or nobody to answer; MilvusError."""
        try:
            futures = self.batcher.submit(wanted)
        except QueueFullError:
            self.metrics.rejected.labels("queue").inc()
            raise self.queue_full() from None
        everything = asyncio.gather(*futures)
        ended = ""  # why nobody waits for it any more

        def give_up(why: str) -> None:
            nonlocal ended
            ended = why
            everything.cancel()

        loop = asyncio.get_running_loop()
        late = loop.call_later(self.settings.request_seconds, give_up, "time")
        gone = loop.create_task(_when_gone(request, partial(give_up, "gone")))
        try:
            found = await everything
        except asyncio.CancelledError:
            if not ended:
                raise
            self.metrics.rejected.labels(ended).inc()
            if ended == "gone":
                raise ClientGoneError from None
            raise busy("the request took too long", RETRY_SECONDS) from None
        finally:
            late.cancel()
            gone.cancel()
            everything.cancel()  # and with it all that has not begun
        seconds = {"queue": max(waited for _, waited in found)}
        for one, _ in found:
            if one.failure is not None:
                raise one.failure
            assert one.seconds is not None
            seconds |= {stage: max(value, seconds.get(stage, 0.0)) for stage, value in one.seconds.items()}
        self.metrics.observe_stages({"queue": seconds["queue"]})
        return Results([one for one, _ in found], seconds)

    def _observe(self, change: Change, ids: Sequence[str]) -> None:
        """Called with every change of references."""
        self.today.count(change, len(ids))
        self._second_look.votes.note(ids)
        if change != "added":
            self.reviewing.rejected.forget(ids)

    def check_ready(self) -> None:
        """Raises: RequestError while the references are not all in memory yet."""
        if self.state == "starting":
            raise RequestError(503, "starting", "the service is starting", {"Retry-After": "2"})

    def check_room(self) -> None:
        """Called before a body is read. Raises: RequestError when nothing can be taken in."""
        self.check_ready()
        if self.batcher.is_full:
            self.metrics.rejected.labels("queue").inc()
            raise self.queue_full()

    def queue_full(self) -> RequestError:
        return busy(f"{self.batcher.waiting} images are waiting; try again", RETRY_SECONDS)

    async def write(self, change: Callable[[], T]) -> T:
        """Make a change, one at a time; once it has begun it is made, whatever becomes of the request."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writer, change))

    def write_now(self, change: Callable[[], T]) -> T:
        """The same for what works in a thread of its own."""
        return self._writer.submit(change).result()

    def compute_now(self, wanted: Sequence[Wanted]) -> list[Computed]:
        """Let images be computed beside the queue, in the thread that asks; those of jobs do not fill it."""
        return self._computing(wanted) if wanted else []

    async def read(self, question: Callable[[], T]) -> T:
        """Ask the collection, away from the event loop and from changes."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, question)

    async def keep_house(self) -> None:
        """Now and then, until cancelled: compact, and keep the index's state and when keys were used."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            try:
                await self.write(self.references.compact)
                await self.write(self.references.settle)
                await self.read(self.access.save_used)
            except Exception:
                log.exception("what is done now and then has failed, and is tried again")

    async def close(self) -> None:
        """Finish what is under way, and let go of the collection."""
        self.state = "draining"
        await self.batcher.close()
        self.jobs.stop()
        for threads in (self._worker, self._writer, self._readers):
            threads.shutdown()
        try:
            self.access.save_used()
        finally:
            for open_one in (self.keys, self.thresholds, self.reviewing, self.jobs, self.references):
                open_one.close()

    def _watch(self) -> None:
        references = self.references
        self.metrics.watch("queue_images", "Images that wait.", lambda: self.batcher.waiting)
        self.metrics.watch("references", "References in the index.", lambda: len(references))
        self.metrics.watch("index_bytes", "Bytes of their rows as float32.", lambda: references.index.row_bytes)
        self.metrics.watch("reviews_dropped", "Requests with pairs not queued.", lambda: self.reviewing.dropped)
        self.metrics.watch("upload_bytes", "Bytes of bodies under way.", lambda: self.uploads.under_way)
        self.metrics.watch(
            "last_checkpoint_seconds",
            "When a change was last brought to the disk, seconds since 1970; 0: not since the start.",
            lambda: references.last_change,
        )


async def _when_gone(request: Request, tell: Callable[[], None]) -> None:
    """Tell when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    tell()


def _log_building(what: str, done: float) -> None:
    if not done:
        log.info("building %s; this takes a while, once", what)
