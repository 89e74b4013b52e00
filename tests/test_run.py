"""Runs from a source to a file: independent of batches, threads, order and interruptions; whole or not there."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from copytrace.engine import BadImageError, Engine, ResumeError, StoreError, open_descriptors
from copytrace.engine.describe import reference

from conftest import PHOTOS
from odd_images import bad_images, good_images, write_all

COPYTRACE = [sys.executable, "-c", "from copytrace.engine.cli import main; main()"]
COMMITTING_OFTEN = "from copytrace.engine import run; run.COMMIT_SECONDS = 0.1; "


def descriptors(path: Path) -> bytes:
    with h5py.File(path) as file:
        return file["descriptors"][:].tobytes() + "\n".join(file["ids"].asstr()[:]).encode()


def embed(source: Path, output: Path, *options: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    command = [*COPYTRACE, "embed", str(source), "-o", str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, **kwargs)


def test_batches_threads_and_order_change_nothing(photos: Path, tmp_path: Path) -> None:
    Engine().embed_source(photos, tmp_path / "first.h5", role="query")
    expected = descriptors(tmp_path / "first.h5")
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        for path in sorted(photos.iterdir(), reverse=True):
            archive.add(path, path.name)
    listing = tmp_path / "list.txt"
    paths = sorted(photos.iterdir())
    random.Random(0).shuffle(paths)
    listing.write_text("\n".join(map(str, paths)))
    for number, (batch, threads, source) in enumerate(
        [(1, 1, photos), (3, 2, photos), (16, 4, listing), (40, 1, tmp_path / "photos.tar"), (None, None, listing)]
    ):
        Engine(batch=batch, threads=threads).embed_source(source, tmp_path / f"{number}.h5", role="query")
        assert descriptors(tmp_path / f"{number}.h5") == expected, (batch, threads, source)


def test_bad_images_among_good_ones_change_nothing(photos: Path, tmp_path: Path) -> None:
    engine = Engine()
    engine.embed_source(photos, tmp_path / "clean.h5")
    for i in range(0, 40, 3):
        (photos / f"R{i:04d}x.jpg").write_bytes(b"broken")
    summary = engine.embed_source(photos, tmp_path / "mixed.h5")
    assert descriptors(tmp_path / "mixed.h5") == descriptors(tmp_path / "clean.h5")
    with open_descriptors(tmp_path / "mixed.h5") as file:
        assert file.failed() == [(bad.id, bad.reason) for bad in summary.failed]
        assert [name for name, _ in file.failed()] == [f"R{i:04d}x" for i in range(0, 40, 3)]


def test_every_odd_image_is_embedded_or_listed(tmp_path: Path) -> None:
    write_all(tmp_path / "odd")
    result = embed(tmp_path / "odd", tmp_path / "out.h5", "--id", "path", "--json")
    assert result.returncode == 0 and "Traceback" not in result.stderr
    summary = json.loads(result.stdout)
    assert {bad["id"] for bad in summary["failed"]} == set(bad_images())
    with open_descriptors(tmp_path / "out.h5") as file:
        assert set(file.ids) == set(good_images()) and file.ids == sorted(file.ids)
        rows = file.descriptors[:]
    assert np.isfinite(rows).all() and np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_failing_at_the_first_bad_image_leaves_no_file(tmp_path: Path) -> None:
    write_all(tmp_path / "odd")
    result = embed(tmp_path / "odd", tmp_path / "out.h5", "--id", "path", "--on-error", "fail")
    assert result.returncode == 1 and len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out.h5").exists()
    with pytest.raises(BadImageError):
        Engine().embed_source(tmp_path / "odd", tmp_path / "out.h5", ids="path", on_error="fail")


def test_a_mended_image_lets_a_failed_run_resume(photos: Path, tmp_path: Path) -> None:
    good = (photos / "R0020.jpg").read_bytes()
    (photos / "R0020.jpg").write_bytes(b"broken")
    assert embed(photos, tmp_path / "out.h5", "--on-error", "fail").returncode == 1
    (photos / "R0020.jpg").write_bytes(good)
    assert embed(photos, tmp_path / "out.h5", "--on-error", "fail", "--resume").returncode == 0
    Engine().embed_source(photos, tmp_path / "clean.h5")
    assert descriptors(tmp_path / "out.h5") == descriptors(tmp_path / "clean.h5")


def test_a_recorded_failure_ends_a_run_that_allows_none(photos: Path, tmp_path: Path) -> None:
    (photos / "R0000.jpg").write_bytes(b"broken")
    engine = Engine()

    def stop(done: int, total: int, failed: int) -> None:
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.embed_source(photos, tmp_path / "out.h5", progress=stop)
    with pytest.raises(BadImageError, match="R0000"):
        engine.embed_source(photos, tmp_path / "out.h5", resume=True, on_error="fail")


def test_only_bad_images_is_a_failure_that_lists_them(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"x")
    result = embed(tmp_path / "bad", tmp_path / "out.h5")
    assert result.returncode == 1 and "none of the 1 images" in result.stderr
    with open_descriptors(tmp_path / "out.h5") as file:
        assert file.ids == [] and file.failed()[0][0] == "a" and file.descriptors.shape == (0, 256)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 900 images, enough for a few seconds of work."""
    folder = tmp_path_factory.mktemp("many")
    photos = sorted((Path(__file__).parent.parent / "engine" / "photos" / "references").glob("*.jpg"))
    for i in range(900):
        shutil.copy(photos[i % len(photos)], folder / f"{i:05d}.jpg")
    return folder


def test_killed_and_resumed_ends_with_the_same_file(many: Path, tmp_path: Path) -> None:
    assert embed(many, tmp_path / "whole.h5").returncode == 0
    expected = descriptors(tmp_path / "whole.h5")
    rng = random.Random(1)
    output = tmp_path / "killed.h5"
    kills = 0
    for _ in range(6):
        process = subprocess.Popen(
            [*COPYTRACE, "embed", str(many), "-o", str(output), "--resume"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(rng.uniform(0.3, 2.0))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        assert not output.exists() or descriptors(output) == expected
    assert kills
    assert embed(many, output, "--resume").returncode == 0
    assert descriptors(output) == expected and sorted(p.name for p in tmp_path.iterdir()) == ["killed.h5", "whole.h5"]


def test_interrupt_keeps_what_is_done(many: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.h5"
    command = [*COPYTRACE[:2], COMMITTING_OFTEN + COPYTRACE[2], "embed", str(many), "-o", str(output), "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    journal = tmp_path / "out.h5.partial"
    while not (journal.exists() and journal.stat().st_size > 5000) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=120)
    assert process.returncode == 130 and "--resume" in message and "Traceback" not in message
    result = embed(many, output, "--resume", "--json")
    assert result.returncode == 0 and json.loads(result.stdout)["resumed_at"] > 0
    assert not journal.exists()


def test_resume_of_a_finished_run_does_nothing(photos: Path, tmp_path: Path) -> None:
    engine = Engine()
    engine.embed_source(photos, tmp_path / "a.h5")
    before = (tmp_path / "a.h5").stat().st_mtime_ns
    summary = engine.embed_source(photos, tmp_path / "a.h5", resume=True)
    assert summary.resumed_at == summary.images == 40 and (tmp_path / "a.h5").stat().st_mtime_ns == before


def test_resume_refuses_another_run_and_starts_over_without(photos: Path, tmp_path: Path) -> None:
    engine = Engine()
    partial = tmp_path / "a.h5.partial"

    def stop(done: int, total: int, failed: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.embed_source(photos, tmp_path / "a.h5", progress=stop)
    assert partial.exists()
    with pytest.raises(ResumeError, match="different output, role"):
        engine.embed_source(photos, tmp_path / "a.h5", role="query", resume=True)
    engine.embed_source(photos, tmp_path / "a.h5", role="query")
    assert not partial.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_full_disk_and_read_only_disk(photos: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        result = embed(photos, disk / "out.h5")
        assert result.returncode == 1 and "No space left on device" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1 and not (disk / "out.h5").exists()
        subprocess.run(
            ["mount", "-o", "remount,size=72k", str(disk)], check=True
        )  # the journal fits, the file does not
        result = embed(photos, disk / "out.h5", "--resume")
        assert result.returncode == 1 and "No space left on device" in result.stderr, result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert [path.name for path in disk.iterdir()] == ["out.h5.partial"]
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        assert embed(photos, disk / "out.h5", "--resume").returncode == 0
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        result = embed(photos, disk / "other.h5")
        assert result.returncode == 1 and len(result.stderr.strip().splitlines()) == 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_outputs_that_cannot_be(photos: Path, tmp_path: Path) -> None:
    engine = Engine()
    for path, word in (
        (tmp_path, "folder"),
        (tmp_path / "no" / "a.h5", "does not exist"),
        (Path("/dev/full"), "regular file"),
    ):
        with pytest.raises(StoreError, match=word):
            engine.embed_source(photos, path)
    result = embed(tmp_path / "missing", tmp_path / "a.h5")
    assert result.returncode == 1 and "no such file" in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == [photos]


def test_output_through_a_link_stays_a_link(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a.h5").symlink_to(tmp_path / "elsewhere" / "b.h5")
    Engine().embed_source(photos, tmp_path / "a.h5")
    assert (tmp_path / "a.h5").is_symlink() and (tmp_path / "elsewhere" / "b.h5").is_file()


def test_two_runs_do_not_write_one_file(photos: Path, tmp_path: Path) -> None:
    engine = Engine()

    def second(done: int, total: int, failed: int) -> None:
        with pytest.raises(StoreError, match="another run"):
            engine.embed_source(photos, tmp_path / "a.h5")

    engine.embed_source(photos, tmp_path / "a.h5", progress=second)


def test_outputs_agree_with_the_definition() -> None:
    paths = sorted((PHOTOS / "queries").iterdir())[:12]
    engine = Engine(precision="float32")
    raw = engine.embed(paths, output="raw")
    p = engine.bundle.projection
    projected = reference.project(raw, p.mean, p.components, p.eigenvalues)
    np.testing.assert_allclose(engine.embed(paths), projected, atol=1e-5)
    for method in (1, 2):
        how = engine.bundle.normalisation(method)
        constants = {"beta": how.beta, "cosines": how.cosines, "directions": how.directions}
        expected = reference.normalise(projected, engine.bundle.bank, method=method, **constants)
        np.testing.assert_allclose(engine.embed(paths, role="query", output=f"method{method}"), expected, atol=1e-4)
    plain = Engine(precision="float32", backend="numpy")
    np.testing.assert_allclose(plain.embed(paths, role="query"), engine.embed(paths, role="query"), atol=1e-4)
