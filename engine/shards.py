"""One part of a source as a unit of work: whatever schedules them, parts embedded apart become one run's file.

A part is a resumable run (``run.py``) to a file of its own in a common folder, with a status beside it. Nothing is shared but
that folder: any number of machines may work on it at a time.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .api import Engine, PathLike
from .arguments import file_path
from .embedder import Damaged, Output, Role, Views
from .errors import ResumeError, StoreError
from .outputs import STATUS, check_output
from .read import DEFAULT_BYTE_LIMIT, IdRule, Place, Source, StampKind, open_source
from .run import OnError, Progress, Summary, describe_run
from .store import Origin, Shard, read_shard
from .store.atomic import replacing


@dataclass(frozen=True, slots=True)
class ShardDone:
    """A part that is whole: its descriptor file, the status beside it, what the run did, and whether all was there before."""

    path: Path
    status: Path
    summary: Summary
    skipped: bool


def embed_shard(
    engine: Engine,
    source: Place | Source,
    folder: PathLike,
    i: int,
    n: int,
    *,
    role: Role = "reference",
    output: Output | None = None,
    ids: IdRule = "stem",
    on_error: OnError = "skip",
    byte_limit: int = DEFAULT_BYTE_LIMIT,
    fingerprint: StampKind = "stat",
    damaged: Damaged = "keep",
    views: Views = "whole",
    progress: Progress = lambda done, total, failed: None,
) -> ShardDone:
    """Embed the ``i``-th (from 0) of ``n`` parts of a source into ``folder``, which is made where it is not there.

    source: the whole one, the same for every part; its ids must be unique. Part 3 of 16 becomes ``part-00003-of-00016.h5``,
    renamed into place when it is whole, and then ``part-00003-of-00016.json`` says how it went. One that is done is left as it
    is, one that was killed is gone on with, one that another process works on is an error. The rest: as in
    :meth:`Engine.embed_source`.
    Raises: what that raises; StoreError where the folder holds parts of another run; ValueError or TypeError for arguments that
    are not allowed.
    """
    shard, folder = Shard(i, n), file_path("folder", folder)
    if not isinstance(source, Source):
        source = open_source(source, ids=ids, on_damage=on_error, byte_limit=byte_limit)
    made = describe_run(engine.embedder, role, output or engine.embedder.output_for(role))
    options = {"views": views, "byte_limit": source.byte_limit, "damaged": damaged}
    origin = Origin(source.names(), len(source), {**made, **engine.embedder.options(), **options})
    _make(folder)
    path, status = folder / shard.file, folder / shard.status_file
    check_output(status, STATUS)
    _check_others(folder, path, shard, origin)
    summary = engine.embed_source(
        source.part(i, n),
        path,
        role=role,
        output=output,
        resume=True,
        on_error=on_error,
        fingerprint=fingerprint,
        damaged=damaged,
        views=views,
        about=origin.attribute(shard),
        progress=progress,
    )
    skipped = not summary.stage_seconds
    if skipped:  # it may have been killed before its last two steps
        path.with_name(path.name + ".partial").unlink(missing_ok=True)
    if not (skipped and status.exists()):
        about = _status(source.name, shard, origin, summary, skipped)
        with replacing(status) as temporary:
            temporary.write_text(json.dumps(about, ensure_ascii=False) + "\n", encoding="utf-8")
    return ShardDone(path, status, summary, skipped)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made a folder of parts: {error.strerror}") from None


def check_number(folder: Path, n: int) -> None:
    """Raises: StoreError where a folder holds a part, or what was begun of one, of another number of parts."""
    for other in folder.glob("part-*-of-*.h5*"):
        if f"-of-{n:05d}.h5" not in other.name:
            raise StoreError(f"{folder}: holds {other.name}, of another number of parts; give each run its own folder")


def _check_others(folder: Path, path: Path, shard: Shard, origin: Origin) -> None:
    """Raises: StoreError where the part that is there, or any part in the folder, is of another run."""
    check_number(folder, shard.n)
    if (found := read_shard(path)) is None:
        if path.exists() and path.stat().st_size:
            raise StoreError(f"{path}: is there and is no readable part; it is not overwritten, delete it")
    elif difference := origin.difference(found[1]):
        raise ResumeError(f"{path}: is of another run ({difference}); delete it, or give each run its own folder")


def _status(source: str, shard: Shard, origin: Origin, summary: Summary, skipped: bool) -> dict[str, Any]:
    """What the status file says; seconds are those of the run that ended it, null where it was killed just after that."""
    return {
        "shard": str(shard),
        "file": shard.file,
        "images": summary.images,
        "embedded": summary.embedded,
        "rows": summary.rows,
        "failed": len(summary.failed),
        "damaged": len(summary.damaged),
        "ignored": summary.ignored,
        "seconds": None if skipped else round(summary.seconds, 3),
        "resumed_at": 0 if skipped else summary.resumed_at,
        "bundle": origin.options["space"],
        "source": {"name": source, "images": origin.images, "names": origin.source},
        "options": dict(origin.options),
    }
