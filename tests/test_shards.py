"""A source embedded in shards and merged is what one run would have made, whatever was killed, started twice or left out."""

import json
import multiprocessing
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import h5py
import pytest

from copytrace.engine import (
    ComparisonError,
    Engine,
    ResumeError,
    StoreError,
    embed_shard,
    merge_parts,
    open_descriptors,
)
from copytrace.engine.store import Journal, Shard, read_attributes

from bundle_files import small_bundle
from conftest import PHOTOS
from in_process import run


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="module")
def engine(bundle: Path) -> Engine:
    return Engine(bundle, precision="float32")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 photographs, and 3 files that are none of what their names say."""
    folder = tmp_path_factory.mktemp("source") / "photos"
    shutil.copytree(PHOTOS / "references", folder)
    for name in ("R0003x", "R0100x", "R0199x"):
        (folder / f"{name}.jpg").write_bytes(b"\xff\xd8\xff no photograph")
    return folder


@pytest.fixture(scope="module")
def whole(engine: Engine, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "whole.h5"
    engine.embed_source(source, path)
    return path


def raw(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The bytes of every dataset, and all attributes but the one that names the run."""
    with h5py.File(path) as file:
        values = {name: repr(file[name][:].tolist()).encode() for name in file}
        values["descriptors"] = file["descriptors"][:].tobytes()
        return values, {name: value for name, value in file.attrs.items() if name != "run"}


@pytest.mark.parametrize("n", [1, 3, 7])
def test_merged_shards_are_what_one_run_makes(
    engine: Engine, source: Path, whole: Path, tmp_path: Path, n: int
) -> None:
    for i in reversed(range(n)):
        done = embed_shard(engine, source, tmp_path / "parts", i, n)
        status = json.loads(done.status.read_text())
        assert status["images"] == done.summary.images and status["failed"] == len(done.summary.failed)
        assert status["seconds"] > 0 and status["source"]["images"] == 203 and status["bundle"] == engine.bundle.space
    merged = merge_parts(tmp_path / "parts", tmp_path / "m.h5")
    assert (merged.files, merged.images, merged.failed) == (n, 200, 3)
    assert raw(tmp_path / "m.h5") == raw(whole)


def test_more_shards_than_images(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    for name in ("R0000", "R0001"):
        shutil.copy(PHOTOS / "references" / f"{name}.jpg", tmp_path / "two")
    engine.embed_source(tmp_path / "two", tmp_path / "w.h5")
    counts = [embed_shard(engine, tmp_path / "two", tmp_path / "parts", i, 5).summary.images for i in range(5)]
    assert sorted(counts) == [0, 0, 0, 1, 1]
    merge_parts(tmp_path / "parts", tmp_path / "m.h5")
    assert raw(tmp_path / "m.h5") == raw(tmp_path / "w.h5")


def work(bundle: Path, source: Path, folder: Path, i: int) -> None:
    """Slowly, so that it is not done before it is killed."""
    engine = Engine(bundle, precision="float32", threads=1)
    embed_shard(engine, source, folder, i, 4, progress=lambda *counts: time.sleep(0.05))


def test_shards_killed_at_random_end_with_the_same_file(
    bundle: Path, source: Path, whole: Path, tmp_path: Path
) -> None:
    """Two shards at a time, most of them killed at a random moment and started again."""
    context = multiprocessing.get_context("forkserver")  # a new interpreter for each would take seconds
    context.set_forkserver_preload(["copytrace.engine", "onnxruntime", __name__])
    rng = random.Random(0)
    kills, waiting = 0, list(range(4))
    while waiting:
        now, waiting = waiting[:2], waiting[2:]
        started = [context.Process(target=work, args=(bundle, source, tmp_path / "parts", i)) for i in now]
        for process in started:
            process.start()
        for i, process in zip(now, started, strict=True):
            journal = tmp_path / "parts" / f"{Shard(i, 4).file}.partial"
            while kills < 4 and process.is_alive() and not journal.exists():
                time.sleep(0.005)
            if kills < 4:
                time.sleep(rng.uniform(0, 0.1))
                process.kill()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
            if not (tmp_path / "parts" / Shard(i, 4).status_file).exists():
                waiting.append(i)
    assert kills
    merge_parts(tmp_path / "parts", tmp_path / "m.h5")
    assert raw(tmp_path / "m.h5") == raw(whole)
    assert {path.suffix for path in (tmp_path / "parts").iterdir()} == {".h5", ".json"}


def test_done_is_skipped_and_what_a_kill_left_is_put_right(engine: Engine, source: Path, tmp_path: Path) -> None:
    first = embed_shard(engine, source, tmp_path, 1, 40)
    before, status = first.path.stat().st_mtime_ns, first.status.read_text()
    again = embed_shard(engine, source, tmp_path, 1, 40)
    assert (first.skipped, again.skipped) == (False, True)
    assert first.path.stat().st_mtime_ns == before and first.status.read_text() == status
    first.status.unlink()  # as if killed between the two files
    partial = tmp_path / (first.path.name + ".partial")
    partial.write_bytes(b"")
    assert embed_shard(engine, source, tmp_path, 1, 40).skipped and not partial.exists()
    assert json.loads(first.status.read_text()) | {"seconds": 0} == json.loads(status) | {"seconds": 0}


def test_of_two_processes_on_one_shard_one_refuses(engine: Engine, source: Path, tmp_path: Path) -> None:
    def meanwhile(done: int, total: int, failed: int) -> None:
        with pytest.raises(StoreError, match="another run is writing it"):
            embed_shard(engine, source, tmp_path, 0, 40)

    done = embed_shard(engine, source, tmp_path, 0, 40, progress=meanwhile)
    assert not done.skipped and embed_shard(engine, source, tmp_path, 0, 40).skipped


def test_parts_of_other_runs_are_refused(engine: Engine, source: Path, tmp_path: Path) -> None:
    done = embed_shard(engine, source, tmp_path, 0, 40)
    before = done.path.read_bytes()
    for options in ({"role": "query"}, {"views": "turns"}, {"damaged": "skip"}, {"byte_limit": 10**6}):
        name = next(iter(options))
        with pytest.raises(ResumeError, match=f"of another run .*different {name}"):
            embed_shard(engine, source, tmp_path, 0, 40, **options)
    with pytest.raises(ResumeError, match="different sources, of 200 images and of 203"):
        embed_shard(engine, PHOTOS / "references", tmp_path, 0, 40)
    with pytest.raises(StoreError, match=r"holds part-00000-of-00040\.h5, of another number of parts"):
        embed_shard(engine, source, tmp_path, 0, 41)
    assert done.path.read_bytes() == before
    (tmp_path / Shard(1, 40).file).write_bytes(b"something else")
    with pytest.raises(StoreError, match=r"part-00001-of-00040\.h5: is there and is no readable part"):
        embed_shard(engine, source, tmp_path, 1, 40)
    (tmp_path / Shard(2, 40).status_file).write_text("{}")
    with pytest.raises(StoreError, match=r"part-00002-of-00040\.json: is there and is not the status"):
        embed_shard(engine, source, tmp_path, 2, 40)
    for i, n, error in ((3, 3, ValueError), (-1, 3, ValueError), (0, 0, ValueError), (0.0, 1, TypeError)):
        with pytest.raises(error):
            embed_shard(engine, source, tmp_path, i, n)  # type: ignore[arg-type]


def test_a_merge_refuses_what_is_not_all_of_one_source(engine: Engine, source: Path, tmp_path: Path) -> None:
    parts, output = tmp_path / "parts", tmp_path / "m.h5"
    paths = [embed_shard(engine, source, parts, i, 3).path for i in range(3)]
    kept = [path.read_bytes() for path in paths]
    embed_shard(engine, source, tmp_path / "skip", 1, 3, damaged="skip")
    embed_shard(engine, PHOTOS / "references", tmp_path / "other", 1, 3)

    def refused(words: str, error: type[Exception] = StoreError) -> None:
        with pytest.raises(error, match=words):
            merge_parts(parts, output)
        assert not output.exists()
        for path, data in zip(paths, kept, strict=True):
            path.write_bytes(data)

    paths[1].unlink()
    refused(r"1 of 3 parts are missing, the first is part-00001-of-00003\.h5$")
    paths[2].unlink()
    Journal(paths[2], {}, 4, resume=False).close()
    refused(r"1 of 3 parts are missing, .* \(1 of them begun")
    paths[2].with_name(paths[2].name + ".partial").unlink()
    shutil.copy(paths[0], paths[1])
    refused(r"part-00001-of-00003\.h5: holds part 0/3, not the one")
    paths[1].write_bytes(kept[1][:5000])
    refused(r"part-00001-of-00003\.h5: not a readable part.*--shard 1/3")
    shutil.copy(tmp_path / "skip" / paths[1].name, paths[1])
    refused(r"part-00000-.* and .*part-00001-.*different damaged: keep, skip", ComparisonError)
    shutil.copy(tmp_path / "other" / paths[1].name, paths[1])
    refused("different sources, of 203 images and of 200", ComparisonError)
    shutil.copy(paths[0], parts / "part-00000-of-00004.h5")
    refused(r"different numbers of parts: part-00000-of-00003\.h5 and part-00000-of-00004\.h5")
    with pytest.raises(StoreError, match="no parts in it"):
        merge_parts(source, output)
    with pytest.raises(StoreError, match="No such file"):
        merge_parts(tmp_path / "none", output)


def test_an_id_in_two_parts_is_named(engine: Engine, tmp_path: Path) -> None:
    """As only a part that was tampered with has it: every shard sees the whole source, and refuses ids that are not unique."""
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(PHOTOS / "references" / "R0000.jpg", tmp_path / "in" / f"{name}.jpg")
    paths = [embed_shard(engine, tmp_path / "in", tmp_path / "parts", i, 2).path for i in range(2)]
    attributes = read_attributes(paths[1]) or {}
    with h5py.File(paths[0]) as file, h5py.File(paths[1], "w") as forged:
        for name in file:
            file.copy(name, forged)
        forged.attrs.update(attributes)
    with pytest.raises(StoreError, match=r"part-00001-of-00002\.h5: the id 'a' is in .*part-00000-of-00002\.h5 too"):
        merge_parts(tmp_path / "parts", tmp_path / "m.h5")


def test_the_verbs(bundle: Path, source: Path, tmp_path: Path) -> None:
    common = ("embed", source, "-o", tmp_path / "parts", "--bundle", bundle, "--precision", "float32", "--json")
    for option in ("3/3", "1", "a/b", "-1/3", "1/3/5"):
        run(*common, f"--shard={option}", code=2)
    for skipped in (False, True):
        done = json.loads(run(*common, "--shard", "0/1").stdout)
        assert (done["shard"], done["skipped"], done["embedded"]) == ("0/1", skipped, 200)
        assert Path(done["output"]).is_file() and json.loads(Path(done["status"]).read_text())["embedded"] == 200
    merged = json.loads(run("merge", tmp_path / "parts", "-o", tmp_path / "m.h5", "--json").stdout)
    assert (merged["files"], merged["rows"], merged["failed"]) == (1, 200, 3)
    with open_descriptors(tmp_path / "m.h5") as file:
        assert len(file.ids) == 200 and "shard" not in file.attributes
    wrong = run("merge", source, "-o", tmp_path / "n.h5", "--json", code=1)
    assert json.loads(wrong.stdout)["kind"] == "StoreError"
    file = tmp_path / "file"
    file.write_text("x")
    assert "cannot be made a folder of parts" in run("embed", source, "-o", file, "--shard", "0/1", code=1).stderr
