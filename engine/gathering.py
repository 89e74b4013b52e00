"""Joins embedding and collections: the images of a source become references.

References are committed about once a second, and those whose bytes are there already are left alone; so a run that was
interrupted is gone on with by the same call, and ends with the same collection.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .collection import Collection, Reference, is_collection
from .embedder import Damaged, Output
from .errors import CollectionError
from .parallel import map_ordered
from .pipeline import Pipeline, StageTimers
from .read import BadImage, Image, Source
from .run import COMMIT_ROWS, COMMIT_SECONDS, OnError, Progress, describe_run, record_slice
from .store import Slice

OUTPUT: Output = "projected"
"""What is kept of references: descriptors that are not moved away from the bank."""
DECIDING = ("space", "bundle", "precision", "output")
"""The attributes that must be the same for descriptors to be in one collection."""


@dataclass
class Gathered:
    """What became of the images of a source, each in one of the four groups. ``stage_seconds`` adds up over threads."""

    images: int
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    failed: list[BadImage] = field(default_factory=list)
    damaged: list[BadImage] = field(default_factory=list)
    """Images that are not what they were: kept, or among the failed where that was wished."""
    ignored: dict[str, int] = field(default_factory=dict)
    """How many files of which kind are not images."""
    unused_metadata: list[str] = field(default_factory=list)
    """Ids that metadata was given for, and that are no image of the source."""
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)


def open_collection(path: str | os.PathLike[str], dimension: int, attributes: Mapping[str, Any]) -> Collection:
    """Open a collection for descriptors made like this, or make one where there is none.

    Raises: CollectionError, also when its descriptors were made in another way.
    """
    path = Path(path)
    if not is_collection(path):
        return Collection.create(path, dimension, {name: str(value) for name, value in attributes.items()})
    collection = Collection.open(path, write=True)
    try:
        check_alike(collection, dimension, attributes)
    except BaseException:
        collection.close()
        raise
    return collection


def check_alike(collection: Collection, dimension: int, attributes: Mapping[str, Any]) -> None:
    """Raises: CollectionError unless descriptors with these attributes belong into the collection."""
    kept = collection.attributes
    for name in DECIDING:
        if kept.get(name) != attributes.get(name):
            known, given = (str(values.get(name, "unknown"))[:12] for values in (kept, attributes))
            raise CollectionError(f"{collection.path}: its descriptors are of another {name}: {known}, not {given}")
    if collection.dimension != dimension:
        raise CollectionError(
            f"{collection.path}: its descriptors have {collection.dimension} numbers, not {dimension}"
        )


def gather_source(
    pipeline: Pipeline,
    source: Source,
    collection: Collection,
    *,
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
    replace: bool = False,
    on_error: OnError = "skip",
    damaged: Damaged = "keep",
    progress: Progress = lambda done, total, failed: None,
) -> Gathered:
    """Embed what is new in a source, and add it to a collection.

    An image whose id and bytes are in the collection is left as it is. Other bytes under an id that is there are an error,
    before anything is changed; with ``replace`` they take its place, and the metadata stays where none is given. metadata: by
    id, also for images that are left as they are. on_error: skip bad images, or stop at the first; what is done is kept.
    damaged: keep images that are damaged but can be decoded, or leave them out; they are listed either way.
    Raises: CollectionError, BadImageError.
    """
    start = time.perf_counter()
    metadata = metadata or {}
    check_alike(collection, pipeline.embedder.dimension(OUTPUT), describe_run(pipeline.embedder, "reference", OUTPUT))
    ids = source.ids()
    known = collection.find(ids)
    unchanged = _unchanged(pipeline.embedder.decoders, source, known)
    others = [name for name in known if name not in unchanged]
    if others and not replace:
        raise CollectionError(
            f"{collection.path}: {others[0]!r}{_more(others)} is there with other bytes; --replace (replace=True) takes the new"
        )
    different = {
        name: metadata[name] for name in unchanged if name in metadata and metadata[name] != known[name].metadata
    }
    collection.set_metadata(different)
    kept = {name: known[name].metadata for name in others} | dict(metadata)
    unused = sorted(metadata.keys() - set(ids))
    result = Gathered(len(source), unchanged=len(unchanged), ignored=source.ignored, unused_metadata=unused)
    gathering = _Gathering(pipeline, collection, set(known), kept, result)
    gathering.run((image for image in source if image.id not in unchanged), on_error, damaged, progress)
    result.seconds = time.perf_counter() - start
    return result


def _unchanged(threads: int, source: Source, known: Mapping[str, Reference]) -> set[str]:
    """The ids of images whose bytes are those that the collection has seen."""

    def same(image: Image) -> str | None:
        try:
            return image.id if hashlib.sha256(image.read()).hexdigest() == known[image.id].sha256 else None
        except OSError:
            return None  # it fails again when it is to be decoded, and is listed then

    candidates = (image for image in source if image.id in known)
    with ThreadPoolExecutor(threads) as pool:
        return {name for name in map_ordered(pool, same, candidates, 4 * threads) if name is not None}


class _Gathering:
    """Images on their way into a collection."""

    def __init__(
        self,
        pipeline: Pipeline,
        collection: Collection,
        known: set[str],
        metadata: Mapping[str, Mapping[str, Any]],
        result: Gathered,
    ) -> None:
        self._pipeline = pipeline
        self._collection = collection
        self._known = known
        self._metadata = metadata
        self._result = result
        self._timers = StageTimers()
        self._bytes: dict[str, tuple[str, int]] = {}  # sha256 and size of images under way, as they were read

    def run(self, images: Iterable[Image], on_error: OnError, damaged: Damaged, progress: Progress) -> None:
        waiting: list[Slice] = []
        done, last = self._result.unchanged, time.perf_counter()
        hashed = (Image(image.id, partial(self._read, image)) for image in images)
        try:
            for part in self._pipeline.embed(hashed, OUTPUT, damaged=damaged, timers=self._timers):
                done += len(part.items)
                record_slice(part, self._result.failed, self._result.damaged, on_error)
                progress(done, self._result.images, len(self._result.failed))
                waiting.append(part)
                if time.perf_counter() - last > COMMIT_SECONDS or sum(len(w.rows) for w in waiting) >= COMMIT_ROWS:
                    self._commit(waiting)
                    last = time.perf_counter()
        finally:
            self._commit(waiting)  # also when interrupted: what is done need not be done again
            self._result.stage_seconds = self._timers.seconds()

    def _read(self, image: Image) -> bytes:
        data = image.read()
        self._bytes[image.id] = hashlib.sha256(data).hexdigest(), len(data)
        return data

    def _commit(self, parts: list[Slice]) -> None:
        """Add what waits to the collection."""
        ids = [name for part in parts for name, why in part.items if why is None]
        rows = [part.rows for part in parts if len(part.rows)]
        if ids:
            digests, sizes = zip(*(self._bytes[name] for name in ids), strict=True)
            metadata = [self._metadata.get(name) for name in ids]
            with self._timers.measure("write"):
                self._collection.add(
                    ids, np.concatenate(rows), sha256=digests, sizes=sizes, metadata=metadata, replace=True
                )
        for name in (name for part in parts for name, _ in part.items):
            self._bytes.pop(name, None)
        parts.clear()  # not before they are there: interrupted here, they are added once more at the end
        replaced = len(self._known.intersection(ids))
        self._result.replaced += replaced
        self._result.added += len(ids) - replaced


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
