"""A whole run from a source to a descriptor file: resumable, and whole or not there."""

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np

from .embedder import Embedder, Output, Role
from .errors import BadImageError, ResumeError
from .outputs import DESCRIPTORS, check_output
from .pipeline import StageTimers, embed_stream
from .read import BadImage, Source, StampKind, Stamps
from .store import Journal, Slice, open_descriptors, read_attributes, write_descriptors

OnError = Literal["skip", "fail"]
Progress = Callable[[int, int, int], None]
"""Called with images done, images in all, images failed."""

COMMIT_SECONDS = 1.0
COMMIT_ROWS = 4096


@dataclass
class Summary:
    """What a run did. ``stage_seconds`` adds up over threads, ``resumed_at`` images were there already.

    ignored: how many files of which kind are not images.
    """

    images: int
    failed: list[BadImage]
    seconds: float = 0.0
    resumed_at: int = 0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)

    @property
    def embedded(self) -> int:
        return self.images - len(self.failed)

    @property
    def rate(self) -> float:
        """Images per second of this run."""
        return (self.images - self.resumed_at) / self.seconds if self.seconds else 0.0


def embed_source(
    embedder: Embedder,
    source: Source,
    path: Path,
    *,
    role: Role = "reference",
    output: Output | None = None,
    resume: bool = False,
    on_error: OnError = "skip",
    fingerprint: StampKind = "stat",
    progress: Progress = lambda done, total, failed: None,
) -> Summary:
    """Embed a source into the descriptor file ``path``.

    Killed at any moment, the same call with ``resume`` goes on and ends with the same file. output: how far to go (default:
    what the role gets). on_error: skip bad images and list them in the file, or fail at the first. fingerprint: by what images
    that have changed since are recognised on resume: size and time of change ("stat"), or all their bytes ("hash").
    Raises: BadImageError, StoreError, ResumeError.
    """
    start = time.perf_counter()
    output = output or embedder.output_for(role)
    check_output(path, DESCRIPTORS, source.files())
    attributes = _attributes(embedder, role, output)
    identity = {
        **attributes,
        "source": source.names(),
        "fingerprint": fingerprint,
        "pixel_limit": embedder.pixel_limit,
        "byte_limit": source.byte_limit,
        "backend": embedder.describer.backend,
    }
    stamps = source.stamps(fingerprint)  # before the first image is read: a change after this is seen
    run = json.dumps({**identity, "images": stamps.digest()}, sort_keys=True)
    attributes["run"] = hashlib.sha256(run.encode()).hexdigest()
    if resume and (read_attributes(path) or {}).get("run") == attributes["run"]:
        with open_descriptors(path) as file:
            failed = [BadImage(*pair) for pair in file.failed()]
            return Summary(len(source), failed, resumed_at=len(source), ignored=source.ignored)
    timers = StageTimers()
    journal = Journal(path, identity, embedder.dimension(output), resume=resume)
    try:
        resumed_at = journal.images
        if resumed_at and journal.stamp != stamps.digest(resumed_at):
            raise ResumeError(
                f"{journal.path}: images that are in it have changed since; delete it, or leave out --resume to start over"
            )
        failed = [BadImage(*pair) for part in journal.slices() for pair in _failures(part)]
        _check_failures(failed, on_error)
        stream = embed_stream(embedder, source.starting_at(resumed_at), output, timers)
        with closing(_committed(stream, journal, stamps, timers)) as parts_done:
            for done, part in parts_done:
                failed += [BadImage(*pair) for pair in _failures(part)]
                progress(done, len(source), len(failed))
                _check_failures(failed, on_error)
        with timers.measure("write HDF5"):
            parts = (([name for name, why in part.items if why is None], part.rows) for part in journal.slices())
            shape = (journal.embedded, journal.dimension)
            write_descriptors(path, parts, shape, [(bad.id, bad.reason) for bad in failed], attributes)
        journal.remove()
    finally:
        journal.close()
    return Summary(len(source), failed, time.perf_counter() - start, resumed_at, timers.seconds(), source.ignored)


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
            rows = np.concatenate([part.rows for part in waiting])
            waiting.clear()
            with timers.measure("write journal"):
                journal.append(Slice(items, rows, stamp=stamps.digest(journal.images + len(items))))

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


def _check_failures(failed: list[BadImage], on_error: OnError) -> None:
    if failed and on_error == "fail":
        raise BadImageError(f"{failed[0].id}: {failed[0].reason}")


def _failures(part: Slice) -> list[tuple[str, str]]:
    return [(name, why) for name, why in part.items if why is not None]


def _attributes(embedder: Embedder, role: Role, output: Output) -> dict[str, str | int]:
    return {
        "bundle": embedder.bundle.hash,
        "bundle_name": str(embedder.bundle.manifest.get("name", "")),
        "precision": embedder.precision,
        "role": role,
        "output": output,
        "version": version("copytrace"),
    }
