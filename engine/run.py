"""A whole run from a source to a descriptor file: resumable, and whole or not there."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np

from .decoded_by import DECODER
from .embedder import Damaged, Embedder, Output, Role, Views
from .errors import BadImageError, ResumeError, StoreError
from .outputs import DESCRIPTORS, check_output
from .pipeline import Pipeline, StageTimers
from .read import BadImage, Source, StampKind, Stamps
from .store import Journal, Slice, open_descriptors, read_attributes, write_descriptors

OnError = Literal["skip", "fail"]
Progress = Callable[[int, int, int], None]
"""Called with images done, images in all, images failed."""

log = logging.getLogger(__name__)

COMMIT_SECONDS = 1.0
COMMIT_ROWS = 4096


@dataclass
class Summary:
    """What a run did: of ``images`` in the source, ``embedded`` have a row and ``failed`` a reason, as counted in the file.

    ``rows`` are more than the embedded images where these give several. ``stage_seconds`` adds up over threads, ``resumed_at``
    images were there already. ``damaged`` images are not what they were: embedded, or among the failed where that was wished.
    ignored: how many files of which kind are not images.
    """

    images: int
    embedded: int
    failed: list[BadImage]
    seconds: float = 0.0
    resumed_at: int = 0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    damaged: list[BadImage] = field(default_factory=list)
    rows: int = 0

    @property
    def rate(self) -> float:
        """Images per second of this run."""
        return (self.images - self.resumed_at) / self.seconds if self.seconds else 0.0


def embed_source(
    pipeline: Pipeline,
    source: Source,
    path: Path,
    *,
    role: Role = "reference",
    output: Output | None = None,
    resume: bool = False,
    on_error: OnError = "skip",
    fingerprint: StampKind = "stat",
    damaged: Damaged = "keep",
    views: Views = "whole",
    about: Mapping[str, str] | None = None,
    progress: Progress = lambda done, total, failed: None,
) -> Summary:
    """Embed a source into the descriptor file ``path``.

    Killed at any moment, the same call with ``resume`` goes on and ends with the same file. output: how far to go (default:
    what the role gets). on_error: skip bad images and list them in the file, or fail at the first. damaged: keep images that
    are damaged but can be decoded, or leave them out, which is no error; they are listed either way. fingerprint: by what
    images that have changed since are recognised on resume: size and time of change ("stat"), or all their bytes ("hash").
    views: other than "whole", an image gives several rows, under its id and labels of their own (the dataset ``views``).
    about: attributes that the file gets besides; a run with others is another run.
    Raises: BadImageError, StoreError, ResumeError.
    """
    start = time.perf_counter()
    embedder = pipeline.embedder
    output = output or embedder.output_for(role)
    check_output(path, DESCRIPTORS, source.files())
    attributes = describe_run(embedder, role, output) | _on_card(embedder, views) | dict(about or {})
    if views != "whole":
        attributes["views"] = views
    identity = {
        **attributes,
        **embedder.options(),
        "source": source.names(),
        "fingerprint": fingerprint,
        "byte_limit": source.byte_limit,
        "damaged": damaged,
    }
    stamps = source.stamps(fingerprint)  # before the first image is read: a change after this is seen
    run = json.dumps({**identity, "images": stamps.digest()}, sort_keys=True)
    attributes["run"] = hashlib.sha256(run.encode()).hexdigest()
    if resume and (summary := _finished(path, attributes["run"], source)) is not None:
        _check_failures(summary.failed, summary.damaged, on_error)
        log.info("%s: finished before, with %d of %d images", path, summary.embedded, summary.images)
        return summary
    timers = StageTimers()
    journal = Journal(path, identity, embedder.dimension(output), resume=resume)
    try:
        resumed_at = journal.images
        log.info("%s: embedding %d images of %s, from number %d on", path, len(source), source.name, resumed_at)
        if resumed_at and journal.stamp != stamps.digest(resumed_at):
            raise ResumeError(f"{journal.path}: images that are in it have changed since; delete it to start over")
        failed: list[BadImage] = []
        damages: list[BadImage] = []
        for part in _in_order(journal, source):
            record_slice(part, failed, damages, on_error)
        images, left = source.starting_at(resumed_at), len(source) - resumed_at
        stream = pipeline.embed(images, output, damaged=damaged, views=views, timers=timers, count=left)
        with closing(_committed(stream, journal, stamps, timers)) as parts_done:
            for done, part in parts_done:
                record_slice(part, failed, damages, on_error)
                progress(done, len(source), len(failed))
        if journal.images != len(source):
            raise StoreError(
                f"{path}: not finished: {journal.images} of {len(source)} images are in {journal.path.name}"
            )
        with timers.measure("write HDF5"):
            slices = _in_order(journal, source)
            parts = ((part.row_ids(), part.rows) for part in slices)
            shape = (journal.rows, journal.dimension)
            lists = ([(bad.id, bad.reason) for bad in images] for images in (failed, damages))
            labels = {} if views == "whole" else {"views": [s for part in journal.slices() for s in part.row_labels()]}
            write_descriptors(path, parts, shape, next(lists), attributes, next(lists), labels, holders=source.holders)
        journal.remove()
    finally:
        journal.close()
    seconds = time.perf_counter() - start
    log.info("%s: %d of %d images embedded in %.1f s", path, journal.embedded, len(source), seconds)
    return Summary(
        len(source),
        journal.embedded,
        failed,
        seconds,
        resumed_at,
        timers.seconds(),
        source.ignored,
        damages,
        journal.rows,
    )


def _finished(path: Path, run: object, source: Source) -> Summary | None:
    """What the run has done, if its file is there already and holds each image of the source once."""
    if (read_attributes(path) or {}).get("run") != run:
        return None
    try:
        opened = open_descriptors(path)
    except StoreError:  # damaged since: it is made again
        return None
    with opened as file:
        failed, damages = ([BadImage(*pair) for pair in pairs] for pairs in (file.failed(), file.damaged()))
        ids = set(file.ids) if file.views else file.ids
        if sorted([*ids, *(bad.id for bad in failed)]) != source.ids():
            return None
        done = len(source)
        rows = len(file.ids)
        return Summary(done, len(ids), failed, resumed_at=done, ignored=source.ignored, damaged=damages, rows=rows)


def _in_order(journal: Journal, source: Source) -> Iterator[Slice]:
    """The journal's slices, each made sure to hold the images that follow next in the source. Raises: ResumeError."""
    ids, position = source.ids(), 0
    for part in journal.slices():
        here = [name for name, _ in part.items]
        if here != ids[position : position + len(here)]:
            raise ResumeError(
                f"{journal.path}: holds other images than the source from number {position} on; delete it to start over"
            )
        position += len(here)
        yield part


def _committed(
    stream: Iterator[Slice], journal: Journal, stamps: Stamps, timers: StageTimers
) -> Generator[tuple[int, Slice], None, None]:
    """Pass slices on with the number of images done, and write them to the journal about once a second."""
    waiting: list[Slice] = []
    last = time.perf_counter()
    done = journal.images

    def commit() -> None:
        if waiting:
            items = [item for part in waiting for item in part.items]
            damages = [damage for part in waiting for damage in part.damaged]
            views = [labels for part in waiting for labels in part.views]
            rows = np.concatenate([part.rows for part in waiting])
            waiting.clear()
            with timers.measure("write journal"):
                journal.append(Slice(items, rows, damages, stamps.digest(journal.images + len(items)), views))

    try:
        for part in stream:
            done += len(part.items)
            yield done, part
            waiting.append(part)  # not before it was accepted: an image that ends the run is tried again on resume
            if time.perf_counter() - last > COMMIT_SECONDS or sum(len(w.rows) for w in waiting) >= COMMIT_ROWS:
                commit()
                last = time.perf_counter()
    finally:
        commit()  # also when interrupted: what is done need not be done again


def describe_run(embedder: Embedder, role: Role, output: Output) -> dict[str, str]:
    """How descriptors are made: the attributes of a descriptor file, and of a collection."""
    return {**embedder.attributes(), "role": role, "output": output, "version": version("copytrace")}


def _on_card(embedder: Embedder, views: Views) -> dict[str, str]:
    """The attributes of what a card has computed or decoded, or what else takes many images at a time; views are the CPU's."""
    names = ("runtime", DECODER) if views == "whole" else ("runtime",)
    return {name: str(value) for name, value in embedder.options().items() if name in names}


def record_slice(part: Slice, failed: list[BadImage], damages: list[BadImage], on_error: OnError) -> None:
    """Add a slice's failures and damage to the lists. Raises: BadImageError at a failure, where none is allowed."""
    failures = [BadImage(name, why) for name, why in part.items if why is not None]
    damaged = [BadImage(*pair) for pair in part.damaged]
    for bad in failures:
        log.warning("no row for %s: %s", bad.id, bad.reason)
    for bad in damaged:
        log.warning("damaged: %s: %s", bad.id, bad.reason)
    _check_failures(failures, damaged, on_error)
    failed += failures
    damages += damaged


def _check_failures(failed: list[BadImage], damages: list[BadImage], on_error: OnError) -> None:
    """Raises: BadImageError at a failure, where none is allowed; what was left out for its damage is none."""
    left_out = {bad.id for bad in damages}
    error = next((bad for bad in failed if bad.id not in left_out), None)
    if error is not None and on_error == "fail":
        raise BadImageError(f"{error.id}: {error.reason}")
