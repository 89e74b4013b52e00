"""Joins embedding and collections: the images of a source become references, with what a second look at them needs.

References are committed about once a second, and those whose bytes are there already are left alone; so a run that was
interrupted is gone on with by the same call, and ends with the same collection.
"""

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from .alike import MATCHING, OUTPUT, check_alike, note_decoders
from .bundle_embedder import BundleEmbedder
from .collection import Collection, Reference
from .decoded_by import CPU
from .embedder import Damaged
from .errors import BadImageError, CollectionError
from .kept_looks import incomplete, keeps_crops, keeps_features
from .parallel import map_ordered
from .pictures import Looks, Picture, picture_stream
from .pipeline import StageTimers
from .read import BESIDE, BadImage, Image, Source
from .run import COMMIT_SECONDS, OnError, Progress, describe_run
from .source_metadata import Metadata, MetadataReport, SourceMetadata
from .stored_crops import has_crops
from .stored_looks import stored_looks

log = logging.getLogger(__name__)

COMMIT_PICTURES = 1024
"""With their local features some 36 MB."""


@dataclass
class Gathered:
    """What became of the images of a source, each in one of the four groups. ``stage_seconds`` adds up over threads.

    replaced: other bytes took the place of what was there, or local features were made of what had none.
    """

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
    metadata: MetadataReport = field(default_factory=MetadataReport)
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)


def gather_source(
    embedder: BundleEmbedder,
    source: Source,
    collection: Collection,
    *,
    metadata: Mapping[str, Metadata] | None = None,
    source_metadata: bool = True,
    features: bool | None = None,
    crops: bool | None = None,
    replace: bool = False,
    on_error: OnError = "skip",
    damaged: Damaged = "keep",
    progress: Progress = lambda done, total, failed: None,
) -> Gathered:
    """Embed what is new in a source, and add it to a collection.

    An image whose id and bytes are in the collection is left as it is. Other bytes under an id that is there are an error,
    before anything is changed; with ``replace`` they take its place, and the metadata stays where none is given. metadata: by
    id, also for images that are left as they are. source_metadata: take what stands beside images, too (see
    ``source_metadata.py``); where both have a key, the one in ``metadata`` counts. features: keep local features and thumbnails
    too, also of images that are there without (default: what the collection does). crops: keep rows of nine crops of each
    beside that of the whole, also of images that are there without; the collection does so or not, and another wish is an
    error (a new one: only if wished). on_error: skip bad images and metadata that cannot be read, or stop at the first; what is
    done is kept. damaged: keep images that are damaged but can be decoded, or leave them out; they are listed either way.
    Raises: CollectionError, BadImageError.
    """
    start = time.perf_counter()
    given = metadata or {}
    check_alike(collection, embedder.dimension(OUTPUT), describe_run(embedder, "reference", OUTPUT))
    crops = keeps_crops(collection, crops)
    features = keeps_features(collection, features)
    if collection.properties.get(MATCHING) != embedder.bundle.matching:
        collection.set_properties(**{MATCHING: embedder.bundle.matching})
    ids = source.ids()
    known = collection.find(ids)
    same = _unchanged(embedder.decoders, source, known)
    changed = [name for name in known if name not in same]
    if changed and not replace:
        raise CollectionError(
            f"{collection.path}: {changed[0]!r}{_more(changed)} is there with other bytes; "
            "--replace (replace=True) takes the new"
        )
    unchanged = same - incomplete(collection, same) if features else same
    unchanged = {name for name in unchanged if has_crops(known[name].views)} if crops else unchanged
    wanted = SourceMetadata(given, beside=source_metadata, replace=replace, on_error=on_error)
    if given or source_metadata:
        wanted.update(collection, known, (image for image in source if image.id in unchanged))
    ignored = {kind: count for kind, count in source.ignored.items() if kind != BESIDE or not source_metadata}
    there = {name: reference.metadata for name, reference in known.items() if name not in unchanged}
    unused = sorted(given.keys() - set(ids))
    result = Gathered(
        len(source), unchanged=len(unchanged), ignored=ignored, unused_metadata=unused, metadata=wanted.report
    )
    gathering = _Gathering(embedder, collection, there, wanted, result)
    images = (image for image in source if image.id not in unchanged)
    gathering.run(images, Looks.of_references(embedder, local=features, crops=crops), on_error, damaged, progress)
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


class _Original(NamedTuple):
    """An image as it was read: sha256 and size of its bytes, and what its source has beside it."""

    sha256: str
    size: int
    beside: Metadata | BadImage | None


class _Gathering:
    """Images on their way into a collection."""

    def __init__(
        self,
        embedder: BundleEmbedder,
        collection: Collection,
        known: Mapping[str, Metadata],
        metadata: SourceMetadata,
        result: Gathered,
    ) -> None:
        self._embedder = embedder
        self._collection = collection
        self._known = known
        self._metadata = metadata
        self._result = result
        self._timers = StageTimers()
        self._originals: dict[str, _Original] = {}  # of images under way

    def run(
        self, images: Iterable[Image], looks: Looks, on_error: OnError, damaged: Damaged, progress: Progress
    ) -> None:
        waiting: list[tuple[Picture, Metadata]] = []
        done, last = self._result.unchanged, time.perf_counter()
        hashed = (Image(image.id, partial(self._read, image)) for image in images)
        try:
            for item in picture_stream(self._embedder, hashed, looks, self._timers):
                done += 1
                picture = self._accepted(item, on_error, damaged)
                progress(done, self._result.images, len(self._result.failed))
                if picture is None:
                    self._originals.pop(item.id, None)
                    continue
                beside = self._originals[item.id].beside
                waiting.append((picture, self._metadata.of(item.id, beside, self._known.get(item.id))))
                if time.perf_counter() - last > COMMIT_SECONDS or len(waiting) >= COMMIT_PICTURES:
                    self._commit(waiting)
                    last = time.perf_counter()
        finally:
            self._commit(waiting)  # also when interrupted: what is done need not be done again
            self._result.stage_seconds = self._timers.seconds()

    def _accepted(self, item: Picture | BadImage, on_error: OnError, damaged: Damaged) -> Picture | None:
        """A picture that is to be kept; what is wrong with it, kept or not, is listed. Raises: BadImageError."""
        if isinstance(item, Picture) and item.damage is not None:
            log.warning("damaged: %s: %s", item.id, item.damage)
            self._result.damaged.append(BadImage(item.id, item.damage))
            if damaged == "skip":
                self._result.failed.append(BadImage(item.id, f"damaged, left out: {item.damage}"))
                return None
        if isinstance(item, Picture):
            return item
        log.warning("no row for %s: %s", item.id, item.reason)
        if on_error == "fail":
            raise BadImageError(f"{item.id}: {item.reason}")
        self._result.failed.append(item)
        return None

    def _read(self, image: Image) -> bytes:
        data = image.read()
        self._originals[image.id] = _Original(hashlib.sha256(data).hexdigest(), len(data), self._metadata.read(image))
        return data

    def _commit(self, waiting: list[tuple[Picture, Metadata]]) -> None:
        """Add what waits to the collection."""
        pictures = [picture for picture, _ in waiting]
        ids = [picture.id for picture in pictures]
        if ids:
            digests, sizes, _ = zip(*(self._originals[name] for name in ids), strict=True)
            metadata = [values for _, values in waiting]
            rows = np.stack([picture.descriptors for picture in pictures])
            views = [view.label for view in pictures[0].views]
            blobs = stored_looks(pictures)
            note_decoders(self._collection, [CPU])
            with self._timers.measure("write"):
                self._collection.add(
                    ids, rows, sha256=digests, sizes=sizes, metadata=metadata, views=views, blobs=blobs, replace=True
                )
        for name in ids:
            self._originals.pop(name, None)
        waiting.clear()  # not before they are there: interrupted here, they are added once more at the end
        replaced = sum(name in self._known for name in ids)
        self._result.replaced += replaced
        self._result.added += len(ids) - replaced


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
