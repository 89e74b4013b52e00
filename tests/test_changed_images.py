"""Resuming notices images that have changed since, and only those that matter."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from copytrace.engine import Engine, ResumeError, open_descriptors
from copytrace.engine.read import open_source

from odd_images import encoded, picture
from tars import member, tar_of, write

JPEG = encoded(picture(), "JPEG")
OTHER = encoded(picture(size=(40, 60)).rotate(90), "JPEG").ljust(len(JPEG), b"\0")[: len(JPEG)]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(threads=2, batch=4)


def stop_after(images: int):
    def progress(done: int, total: int, failed: int) -> None:
        if done >= images:
            raise KeyboardInterrupt

    return progress


def rows(path: Path) -> bytes:
    with open_descriptors(path) as file:
        return file.descriptors[:].tobytes()


def replaced(path: Path, other: Path) -> None:
    """Other contents of another size under the same name."""
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("fingerprint", ["stat", "hash"])
def test_a_finished_file_is_not_done_when_an_image_has_changed(
    engine: Engine, photos: Path, tmp_path: Path, fingerprint: str
) -> None:
    def embed() -> int:
        options = {"resume": True, "fingerprint": fingerprint}
        return engine.embed_source(photos, tmp_path / "x.h5", **options).resumed_at

    assert (embed(), embed()) == (0, 40)
    before = rows(tmp_path / "x.h5")
    replaced(photos / "R0003.jpg", photos / "R0004.jpg")
    assert (embed(), embed()) == (0, 40)
    after = rows(tmp_path / "x.h5")
    assert before != after
    engine.embed_source(photos, tmp_path / "fresh.h5")
    assert rows(tmp_path / "fresh.h5") == after


def test_an_unfinished_run_refuses_images_that_changed_and_takes_those_to_come(
    engine: Engine, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        engine.embed_source(photos, tmp_path / "x.h5", progress=stop_after(24))
    replaced(photos / "R0039.jpg", photos / "R0004.jpg")
    copy = tmp_path / "copy"
    shutil.copytree(photos, copy)
    shutil.copy(tmp_path / "x.h5.partial", tmp_path / "y.h5.partial")
    summary = engine.embed_source(photos, tmp_path / "x.h5", resume=True)
    assert summary.resumed_at > 0
    engine.embed_source(photos, tmp_path / "fresh.h5")
    assert rows(tmp_path / "x.h5") == rows(tmp_path / "fresh.h5")
    replaced(photos / "R0001.jpg", photos / "R0004.jpg")
    with pytest.raises(ResumeError, match="have changed since"):
        engine.embed_source(photos, tmp_path / "y.h5", resume=True)
    assert not (tmp_path / "y.h5").exists()


def test_another_limit_of_bytes_is_another_run(engine: Engine, photos: Path, tmp_path: Path) -> None:
    limit = sorted(path.stat().st_size for path in photos.iterdir())[20]
    few = engine.embed_source(photos, tmp_path / "x.h5", byte_limit=limit)
    again = engine.embed_source(photos, tmp_path / "x.h5", resume=True)
    assert few.failed and not again.failed and again.embedded == 40


def test_size_or_time_or_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", JPEG)
    stat, bytes_ = open_source(tmp_path).fingerprint(), open_source(tmp_path).fingerprint("hash")
    assert open_source(tmp_path).fingerprint() == stat != bytes_
    times = path.stat()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert open_source(tmp_path).fingerprint() != stat and open_source(tmp_path).fingerprint("hash") == bytes_
    path.write_bytes(OTHER)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert open_source(tmp_path).fingerprint() == stat and open_source(tmp_path).fingerprint("hash") != bytes_


def test_names_and_where_a_folder_is_called_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.jpg", JPEG)
    first = open_source(tmp_path).fingerprint()
    monkeypatch.chdir(tmp_path)
    assert open_source(".").fingerprint() == first
    write(tmp_path / "b.jpg", JPEG)
    assert open_source(tmp_path).fingerprint() != first


def test_a_tar_rewritten_in_place_keeps_its_headers_and_is_noticed(tmp_path: Path) -> None:
    """Members of one size and no time, as programs write them."""
    path = write(tmp_path / "x.tar", tar_of(member("a.jpg", JPEG)))
    os.utime(path, ns=(1, 1))
    first = {kind: open_source(path).fingerprint(kind) for kind in ("stat", "hash")}
    write(path, tar_of(member("a.jpg", OTHER)))
    assert all(open_source(path).fingerprint(kind) != text for kind, text in first.items())
    write(path, tar_of(member("a.jpg", JPEG), format=tarfile.PAX_FORMAT))
    assert open_source(path).fingerprint("hash") == first["hash"]


def test_damaged_tars_end_in_the_output_file_or_in_an_error(engine: Engine, photos: Path, tmp_path: Path) -> None:
    from test_run import embed

    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(photos.iterdir())[:6]:
            archive.add(path, path.name)
        place = archive.members[2].offset
    with (tmp_path / "x.tar").open("r+b") as file:
        file.seek(place + 130)
        file.write(b"x")
    result = embed(tmp_path / "x.tar", tmp_path / "x.h5", "--json")
    summary = json.loads(result.stdout)
    assert result.returncode == 0 and summary["embedded"] == 5 and summary["images"] == 6
    assert [bad["id"] for bad in summary["failed"]] == [f"x.tar@{place}"] and "checksum" in summary["failed"][0][
        "reason"
    ]
    with open_descriptors(tmp_path / "x.h5") as stored:
        assert stored.failed() == [(bad["id"], bad["reason"]) for bad in summary["failed"]] and len(stored.ids) == 5
    result = embed(tmp_path / "x.tar", tmp_path / "strict.h5", "--on-error", "fail")
    assert result.returncode == 1 and "checksum" in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "strict.h5").exists()


def test_the_summary_counts_what_was_ignored(engine: Engine, photos: Path, tmp_path: Path) -> None:
    from test_run import embed

    (photos / "notes.txt").write_text("x")
    (photos / ".hidden.jpg").write_bytes(JPEG)
    (photos / "round").symlink_to(".")
    expected = {"not an image": 1, "hidden file": 1, "link to a folder": 1}
    assert json.loads(embed(photos, tmp_path / "x.h5", "--json").stdout)["ignored"] == expected
    result = embed(photos, tmp_path / "x.h5", "--resume")
    assert "3 ignored: 1 hidden file, 1 link to a folder, 1 not an image" in result.stdout
    assert engine.embed_source([photos / "R0000.jpg", str(photos / "R0001.jpg")], tmp_path / "y.h5").embedded == 2
    listed = "\n".join(map(str, sorted(photos.glob("R000[0-3].jpg"))))
    result = embed(Path("-"), tmp_path / "z.h5", "--json", input=listed)
    assert json.loads(result.stdout)["embedded"] == 4 and json.loads(result.stdout)["ignored"] == {}
