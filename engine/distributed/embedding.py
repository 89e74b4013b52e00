"""A source embedded by a cluster: its shards are handed out to actors, and merged to the file that one run would have made."""

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..api import Engine, PathLike
from ..arguments import MAX_THREADS, file_path, whole_number
from ..begun_runtime import begun_runtime
from ..embedder import Damaged, Output, Role, Views
from ..errors import SourceError
from ..outputs import DESCRIPTORS, check_output
from ..read import DEFAULT_BYTE_LIMIT, IdRule, StampKind, open_source
from ..run import OnError, Progress, Summary, describe_run
from ..shards import ShardDone, check_number, embed_shard
from ..store import Merged, Shard, merge_parts
from .cluster import AUTO, Staffing, connected
from .folder import check_shared, held
from .job import Opened
from .pace import Counted
from .team import ATTEMPTS, Team

PATIENCE_SECONDS = 300.0
"""Without an image done after which a shard is taken from its actor."""


@dataclass(frozen=True)
class ClusterRun:
    """What a run on a cluster did.

    summary: as of a run on one machine; its seconds are those of the whole, from the first actor's start to the merged file.
    merged: what the file holds. parts: the folder of the parts, which stays. skipped: shards that were done before. again: how
    often a shard was handed out again. actors, threads: how many there were to be, and the threads of each. starting: seconds
    until the first actor could work. runtime: what computes in them.
    """

    summary: Summary
    merged: Merged
    parts: Path
    skipped: int
    again: int
    actors: int
    threads: int
    starting: float
    runtime: str


@dataclass(frozen=True)
class ShardJob:
    """What every actor is told: how to open engine and source, and how to embed."""

    source: Path
    folder: Path
    token: str
    shards: int
    byte_limit: int
    ids: IdRule
    engine: Mapping[str, Any]
    options: Mapping[str, Any]


class ShardWorker:
    """Embeds shards, one at a time; see :class:`~copytrace.engine.distributed.job.Worker`."""

    def __init__(self, job: ShardJob) -> None:
        self._job = job
        self._at = (-1, Counted(0, 0))

    def open(self) -> Opened:
        """Raises: what the engine and the source raise; ClusterError where the folder is not the driver's."""
        job, place = self._job, platform.node()
        check_shared(job.folder, job.token, place)
        self._engine = Engine(**job.engine)
        self._source = open_source(
            job.source, ids=job.ids, on_damage=job.options["on_error"], byte_limit=job.byte_limit
        )
        embedder, role = self._engine.embedder, job.options["role"]
        made = describe_run(embedder, role, job.options["output"] or embedder.output_for(role))
        seen: dict[str, str | int] = {"source": self._source.names(), "images": len(self._source)}
        return Opened(place, {**made, **embedder.options(), **seen, "runtime": self._engine.runtime})

    def work(self, number: int, shard: Shard) -> ShardDone:
        """Raises: what ``embed_shard`` does."""

        def progress(done: int, total: int, failed: int) -> None:
            self._at = (number, Counted(done, total, failed))

        self._at = (number, Counted(0, 0))
        folder, options = self._job.folder, self._job.options
        return embed_shard(self._engine, self._source, folder, shard.i, shard.n, progress=progress, **options)

    def progress(self) -> tuple[int, Counted]:
        return self._at


def embed_on_cluster(
    source: PathLike,
    path: PathLike,
    shards: int,
    *,
    address: str = AUTO,
    actors: int | None = None,
    threads: int | None = None,
    attempts: int = ATTEMPTS,
    patience: float = PATIENCE_SECONDS,
    engine: Mapping[str, Any] | None = None,
    role: Role = "reference",
    output: Output | None = None,
    ids: IdRule = "stem",
    on_error: OnError = "skip",
    byte_limit: int = DEFAULT_BYTE_LIMIT,
    fingerprint: StampKind = "stat",
    damaged: Damaged = "keep",
    views: Views = "whole",
    progress: Progress = lambda done, total, failed: None,
) -> ClusterRun:
    """Embed a source into one descriptor file by the actors of a Ray cluster, as ``shards`` parts in ``PATH.parts``.

    source, path: what that every machine sees; the parts are merged where this is called.
    address: see :func:`~copytrace.engine.distributed.cluster.connected`. actors, threads: how many there are to be, and the
    threads of each (default: all that the cluster has room for, one on the smallest machine). engine: further arguments of
    :class:`~copytrace.engine.Engine`; networks are computed on cards, one for each actor, where ``device`` is "cuda", or
    "auto" with a precision other than int8 in a cluster that has cards. attempts: how often one shard may fail. patience:
    seconds without progress after which a shard is handed to another actor. The rest: as in
    :meth:`~copytrace.engine.Engine.embed_source`. Parts that are there already are skipped, or gone on with.
    Raises: ClusterError, MissingExtraError; what embedding and merging raise; ValueError or TypeError for arguments that are
    not allowed.
    """
    start = time.perf_counter()
    source, path = file_path("source", source), file_path("path", path).absolute()
    if str(source) == "-":
        raise SourceError("paths on standard input cannot be given to a cluster; write them to a file")
    shards, attempts = whole_number("shards", shards, 1), whole_number("attempts", attempts, 1)
    actors = None if actors is None else whole_number("actors", actors, 1)
    threads = None if threads is None else whole_number("threads", threads, 1, MAX_THREADS)
    check_output(path, DESCRIPTORS)
    folder = parts_folder(path)
    options = {
        "role": role,
        "output": output,
        "on_error": on_error,
        "fingerprint": fingerprint,
        "damaged": damaged,
        "views": views,
    }
    units = [Shard(i, shards) for i in range(shards)]
    with held(folder) as token, connected(address, cpus=(actors or 1) * (threads or 1)) as cluster:
        check_number(folder, shards)
        machines = cluster.machines()
        on_cards = _on_cards(engine or {}, any(machine.gpus for machine in machines))
        staff = Staffing.of(machines, actors=actors, threads=threads, on_cards=on_cards)
        given = {**(engine or {}), "threads": staff.threads, "device": "cuda" if on_cards else "cpu"}
        if given.get("runtime", "auto") == "auto":
            given["runtime"] = begun_runtime(folder, units[0])
        job = ShardJob(source.absolute(), folder, token, shards, byte_limit, ids, given, options)
        team: Team[Shard, ShardDone] = Team(
            cluster, staff, ShardWorker, [job], measure=_measure, name=_name, attempts=attempts, patience=patience
        )
        with team:
            team.expect({"version": version("copytrace")}, "the driver's machine")

            def report(counted: Mapping[int, Counted]) -> None:
                if counted:
                    done, failed = (sum(getattr(one, name) for one in counted.values()) for name in ("done", "failed"))
                    progress(done, int(team.facts["images"][0]), failed)

            done = team.work(units, report=report)
    merged = merge_parts(folder, path)
    ready = start if team.ready is None else team.ready
    summary = _summary([one.summary for one in done], time.perf_counter() - start)
    skipped = sum(one.skipped for one in done)
    runtime = str(team.facts["runtime"][0])
    return ClusterRun(summary, merged, folder, skipped, team.lost, staff.actors, staff.threads, ready - start, runtime)


def parts_folder(path: Path) -> Path:
    """Where the parts of a file lie."""
    return path.with_name(path.name + ".parts")


def _on_cards(engine: Mapping[str, Any], there: bool) -> bool:
    """Whether actors get a graphics card: all or none, as rows of cards and of processors differ in the last bits."""
    device = engine.get("device", "auto")
    return bool(device == "cuda" or (device == "auto" and there and engine.get("precision", "int8") != "int8"))


def _measure(done: ShardDone) -> Counted:
    return Counted(done.summary.images, done.summary.images, len(done.summary.failed))


def _name(shard: Shard) -> str:
    return f"shard {shard}"


def _summary(parts: list[Summary], seconds: float) -> Summary:
    """All of them as one run; seconds of the stages added up over actors."""
    whole = Summary(0, 0, [], seconds)
    for part in parts:
        whole.images += part.images
        whole.embedded += part.embedded
        whole.rows += part.rows
        whole.failed += part.failed
        whole.damaged += part.damaged
        whole.resumed_at += part.resumed_at
        for kind, count in part.ignored.items():
            whole.ignored[kind] = whole.ignored.get(kind, 0) + count
        for stage, spent in part.stage_seconds.items():
            whole.stage_seconds[stage] = whole.stage_seconds.get(stage, 0.0) + spent
    return whole
