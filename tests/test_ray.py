"""On a real cluster of this machine alone: what dies is replaced, what cannot be is one line, and answers are one machine's."""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_search import data
from test_shards import raw

from benchmarks.ray_kills import actors_of
from copytrace.engine import (
    BadImageError,
    ClusterError,
    Engine,
    PrecisionError,
    SearchError,
    SourceError,
    StoreError,
    search,
)
from copytrace.engine.distributed import embed_on_cluster, search_on_cluster
from copytrace.engine.distributed.cluster import Cluster, Staffing, connected
from copytrace.engine.distributed.folder import held
from copytrace.engine.distributed.job import Opened
from copytrace.engine.distributed.pace import Counted
from copytrace.engine.distributed.team import Team
from copytrace.engine.store import write_descriptors

from bundle_files import small_bundle
from conftest import PHOTOS
from in_process import run

ray = pytest.importorskip("ray", reason="needs the extra ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One for all tests, of two actors with a processor each: starting it takes longer than any of them."""
    from ray import cloudpickle

    with connected("auto", cpus=2) as started:
        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # actors do not see the tests' folder
        yield started


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "photos"
    shutil.copytree(PHOTOS / "references", folder)
    for name in ("R0003x", "R0199x"):
        (folder / f"{name}.jpg").write_bytes(b"\xff\xd8\xff no photograph")
    return folder


class Troubled:
    """A worker whose units say what becomes of it; each trouble happens once, or as often as the unit is tried."""

    def __init__(self, folder: Path, facts: dict[str, Any] | None = None) -> None:
        self.folder, self.facts = folder, facts

    def open(self) -> Opened:
        if self.facts == {"dies": True}:
            os.kill(os.getpid(), signal.SIGKILL)
        return Opened("here", self.facts or {"process": os.getpid()} if self.facts is not None else {})

    def work(self, number: int, unit: str) -> tuple[str, int]:
        self.number = number
        marks = list(self.folder.glob(f"{number}-*"))
        (self.folder / f"{number}-{len(marks)}").touch()
        if unit == "always fails":
            raise OSError("no space left")
        if unit == "is wrong":
            raise SearchError("NaN")
        if unit == "dies" and not marks:
            os.kill(os.getpid(), signal.SIGKILL)
        if unit == "stands still" and not marks:
            time.sleep(600)
        return unit, len(marks)

    def progress(self) -> tuple[int, Counted]:
        return self.number, Counted(0, 1)


def team(cluster: Cluster, folder: Path, facts: dict[str, Any] | None = None, **options: Any) -> Team[str, Any]:
    staff = Staffing(2, 1, 0)
    given: list[object] = [folder, facts]
    measure = lambda result: Counted(1, 1)  # noqa: E731
    return Team(cluster, staff, Troubled, given, measure=measure, name=lambda unit: f"the unit that {unit}", **options)


def test_what_dies_or_stands_still_is_done_by_another(cluster: Cluster, tmp_path: Path) -> None:
    counted: dict[int, Counted] = {}
    with team(cluster, tmp_path, patience=15.0) as actors:
        units = ["works", "dies", "stands still", "works"]
        assert actors.work(units, report=counted.update) == [
            ("works", 0),
            ("dies", 1),
            ("stands still", 1),
            ("works", 0),
        ]
        assert actors.lost == 2 and len(counted) == 4
        assert actors.work(["works"]) == [("works", 1)], "the same actors again"


def test_what_keeps_failing_is_named_and_what_is_wrong_is_not_tried_again(cluster: Cluster, tmp_path: Path) -> None:
    failed = "the unit that always fails failed 2 times, the last time because no space"
    with pytest.raises(ClusterError, match=failed), team(cluster, tmp_path, attempts=2) as actors:
        actors.work(["always fails"])
    with pytest.raises(SearchError, match=r"^NaN$"), team(cluster, tmp_path) as actors:
        actors.work(["works", "is wrong"])
    failed = "2 actors in a row could not be started; the last: its actor died"
    with pytest.raises(ClusterError, match=failed), team(cluster, tmp_path, {"dies": True}, attempts=2) as actors:
        actors.work(["works"])


def test_interrupted_within_a_second(cluster: Cluster, tmp_path: Path) -> None:
    def handler(*_: object) -> None:
        raise BufferError("interrupted")

    def interrupt() -> None:
        end = time.monotonic() + 120
        while not list(tmp_path.iterdir()) and time.monotonic() < end:  # the work has not begun
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, handler)
    timer = threading.Thread(target=interrupt)
    timer.start()
    try:
        with pytest.raises(BufferError, match="interrupted"), team(cluster, tmp_path) as actors:
            actors.work(["stands still"])
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, before)


def test_machines_must_agree(cluster: Cluster, tmp_path: Path) -> None:
    differ = r"machines differ in their process: \d+ on here, \d+ on here"
    with pytest.raises(ClusterError, match=differ), team(cluster, tmp_path, {}) as actors:
        actors.work(["stands still", "stands still"])
    differ = "machines differ in their version: 1 on the driver's machine, 2 on here"
    with pytest.raises(ClusterError, match=differ), team(cluster, tmp_path, {"version": 2}) as actors:
        actors.expect({"version": 1}, "the driver's machine")
        actors.work(["works"])


def writes_a_part(pid: int) -> bool:
    """Whether a process has a journal open."""
    try:
        return any(".partial" in str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it has just ended, or closed one
        return False


def test_a_killed_actors_shard_is_gone_on_with(cluster: Cluster, source: Path, tmp_path: Path) -> None:
    """By the package's bundle, which takes its time; then everything is there, and only the merging is done."""
    Engine().embed_source(source, tmp_path / "whole.h5")
    path, seen = tmp_path / "r.h5", list[tuple[int, int, int]]()

    def kill() -> None:
        while not (busy := [pid for pid in actors_of(os.getpid()) if writes_a_part(pid)]):
            time.sleep(0.005)
        os.kill(busy[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    done = embed_on_cluster(source, path, 3, actors=2, threads=1, progress=lambda *counts: seen.append(counts))
    killer.join()
    assert done.again == 1 and done.skipped == 0 and seen[-1] == (202, 202, 2)
    assert raw(path) == raw(tmp_path / "whole.h5")
    assert (done.summary.images, done.summary.embedded, len(done.summary.failed)) == (202, 200, 2)
    assert sorted(one.name for one in done.parts.iterdir())[0] == "part-00000-of-00003.h5", "nothing else is left"
    path.unlink()
    again = embed_on_cluster(source, path, 3, actors=2, threads=1)
    assert again.skipped == 3 and raw(path) == raw(tmp_path / "whole.h5")
    with pytest.raises(StoreError, match=r"holds part-00000-of-00003\.h5, of another number of parts"):
        embed_on_cluster(source, path, 4)
    with held(done.parts), pytest.raises(StoreError, match="another run is filling it"):
        embed_on_cluster(source, path, 3)


def test_what_a_run_cannot_do_is_one_line(cluster: Cluster, source: Path, tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle")
    small: dict[str, Any] = {"bundle": bundle, "precision": "float32"}
    with pytest.raises(SourceError, match=r"^/nowhere: no such file or folder$"):
        embed_on_cluster("/nowhere", tmp_path / "r.h5", 2, engine=small)
    with pytest.raises(BadImageError, match="R0003x"):
        embed_on_cluster(source, tmp_path / "r.h5", 2, engine=small, on_error="fail")
    with pytest.raises(ClusterError, match="no machine of the cluster has a graphics card"):
        embed_on_cluster(source, tmp_path / "r.h5", 2, engine={**small, "device": "cuda"})
    with pytest.raises(PrecisionError, match="no int3 network"):
        embed_on_cluster(source, tmp_path / "r.h5", 2, engine={**small, "precision": "int3"})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for kind in ("random", "integers", "duplicates"):
        for name, rows in zip("qr", data(kind, 60, 500, 8), strict=True):
            order = np.random.default_rng(0).permutation(len(rows))
            ids = [f"{name}{number:03}" for number in order]
            write_descriptors(folder / f"{kind}-{name}.h5", [(ids, rows)], rows.shape, [], {})
    return folder


@pytest.mark.parametrize(
    ("kind", "parts", "wanted"),
    [
        ("duplicates", 1, {"top": 200}),
        ("integers", 3, {"k": 3}),
        ("random", 7, {"max_distance": 1.5}),
        ("integers", 7, {"top": 200}),
    ],
)
def test_a_search_finds_what_one_machine_does(
    cluster: Cluster, files: Path, kind: str, parts: int, wanted: dict[str, Any]
) -> None:
    """What parts find is compared in all combinations in test_parted.py; here it comes from actors."""
    q, r = files / f"{kind}-q.h5", files / f"{kind}-r.h5"
    done = search_on_cluster(q, r, actors=2, threads=1, parts=parts, **wanted)
    assert list(done.found) == list(search(q, r, **wanted)) and done.parts == parts and len(done.found)
    assert sum(actor.rows for actor in done.actors) == 500 and done.actors[0].peak_bytes > 1 << 24


def test_the_verbs(cluster: Cluster, source: Path, tmp_path: Path) -> None:
    """Images with several rows, scores normalised; references as the folder of parts."""
    bundle = small_bundle(tmp_path / "bundle")
    common = ("--bundle", bundle, "--precision", "float32", "--views", "turns")
    shared = ("--ray", "auto", "--actors", 2, "--threads", 1)
    r, q = tmp_path / "r.h5", tmp_path / "q.h5"
    done = run("embed", source, "-o", r, *common, *shared, "--shards", 3)
    assert (
        "3 shards, 0 done before" in done.stdout and "200 of 202 images embedded as 800 rows, 2 failed" in done.stdout
    )
    run("embed", PHOTOS / "queries", "-o", q, *common, "--role", "query")
    run("search", q, r, "-o", tmp_path / "one.csv", "--top", 100)
    found = run("search", q, f"{r}.parts", "-o", tmp_path / "many.csv", "--top", 100, *shared, "--parts", 7, "--json")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "many.csv").read_bytes()
    assert '"parts": 7' in found.stdout and '"peak_bytes"' in found.stdout
