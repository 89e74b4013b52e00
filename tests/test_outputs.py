"""No output destroys anything: not what the same command reads, no file of another kind, no temporary file of somebody else."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from copytrace.engine import Engine, StoreError, save_pairs, save_report, score_pairs, search, write_submission
from copytrace.engine.outputs import DESCRIPTORS, PAIRS, PNG, REPORT, SUBMISSION, check_output
from copytrace.engine.store import Journal, write_descriptors
from copytrace.engine.store.atomic import replacing

from conftest import PHOTOS

COPYTRACE = str(Path(sys.executable).parent / "copytrace")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with one of everything that a verb reads or writes."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 8)).astype(np.float32)
    write_descriptors(tmp_path / "q.h5", [([f"q{i}" for i in range(6)], rows)], rows.shape, [], {"role": "query"})
    write_descriptors(tmp_path / "r.h5", [([f"r{i}" for i in range(6)], rows)], rows.shape, [], {"role": "reference"})
    write_submission(tmp_path / "q.h5", tmp_path / "r.h5", tmp_path / "s.h5")
    save_pairs(search(tmp_path / "q.h5", tmp_path / "r.h5"), tmp_path / "pairs.csv")
    (tmp_path / "truth.csv").write_text("query_id,reference_id\n" + "".join(f"q{i},r{i}\n" for i in range(6)))
    (tmp_path / "classes.csv").write_text("query_id,class_name\nq0,x\n")
    for kind in ("queries", "references"):
        (tmp_path / kind).mkdir()
        for path in sorted((PHOTOS / "references").glob("*.jpg"))[:3]:
            shutil.copy(path, tmp_path / kind)
    subprocess.run(
        [COPYTRACE, *["evaluate", "pairs.csv", "truth.csv", "--plot", "plot.png", "--report", "report.html"]],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    shutil.copy(tmp_path / "plot.png", tmp_path / "queries" / "picture.png")
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'queries' / 'R0000.jpg'}\n{tmp_path / 'r.h5'}\n")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


COMMANDS = [
    "embed queries/R0000.jpg -o queries/R0000.jpg",
    "embed queries -o queries/R0000.jpg",
    "embed queries -o truth.csv",
    "embed queries -o s.h5",
    "embed list.txt -o list.txt",
    "embed list.txt -o r.h5",
    "search q.h5 r.h5 -o q.h5",
    "search q.h5 r.h5 -o queries/../r.h5",
    "search s.h5 s.h5 -o s.h5",
    "search q.h5 r.h5 -o truth.csv",
    "search q.h5 r.h5 -o queries/R0000.jpg",
    "submission q.h5 r.h5 -o q.h5",
    "submission q.h5 r.h5 -o r.h5",
    "submission q.h5 r.h5 -o pairs.csv",
    "submission s.h5 s.h5 -o s.h5",
    "evaluate pairs.csv truth.csv --report truth.csv",
    "evaluate pairs.csv truth.csv --report pairs.csv",
    "evaluate pairs.csv truth.csv --plot pairs.csv",
    "evaluate pairs.csv truth.csv --classes classes.csv --plot classes.csv",
    "evaluate pairs.csv truth.csv --report plot.png",
    "evaluate pairs.csv truth.csv --plot report.html",
    "evaluate pairs.csv truth.csv --plot new --report ./new",
    "evaluate pairs.csv truth.csv --report new --queries queries --plot queries/picture.png",
    "evaluate pairs.csv truth.csv --report queries/picture.png --queries queries --references references",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_verb_writes_over_its_input_or_another_kind(files: Path, command: str) -> None:
    before = contents(files)
    result = subprocess.run([COPYTRACE, *command.split()], cwd=files, capture_output=True, text=True)
    assert result.returncode == 1 and result.stderr.startswith("error: "), result.stdout + result.stderr
    assert len(result.stderr.splitlines()) == 1 and contents(files) == before


@pytest.mark.parametrize("link", ["symlink", "hard link", "spelling", "folder link"])
def test_links_and_spellings_are_seen_through(files: Path, engine: Engine, link: str) -> None:
    def alias(path: Path) -> Path:
        if link == "symlink":
            (files / "alias").symlink_to(path)
        elif link == "hard link":
            os.link(path, files / "alias")
        elif link == "folder link":
            (files / "there").symlink_to(path.parent)
            return files / "there" / path.name
        else:
            return path.parent / ".." / path.parent.name / path.name
        return files / "alias"

    before = contents(files)
    for path, write in (
        (files / "s.h5", lambda out: write_submission(files / "s.h5", files / "s.h5", out)),
        (files / "r.h5", lambda out: engine.embed_source(files / "list.txt", out)),
        (files / "queries" / "R0001.jpg", lambda out: engine.embed_source(files / "queries", out)),
    ):
        out = alias(path)
        with pytest.raises(StoreError, match="read by this command"):
            write(out)
        for name in ("alias", "there"):
            (files / name).unlink(missing_ok=True)
    assert contents(files) == before


def test_the_python_calls_refuse_too(files: Path) -> None:
    before = contents(files)
    scored = score_pairs(files / "pairs.csv", files / "truth.csv")
    found = search(files / "q.h5", files / "r.h5")
    for write in (
        lambda: save_pairs(found, files / "q.h5"),
        lambda: save_pairs(found, str(files / "truth.csv")),
        lambda: save_report(scored, files / "pairs.csv"),
        lambda: save_report(scored, files / "queries" / "R0000.jpg", queries=files / "queries"),
        lambda: write_submission(str(files / "q.h5"), str(files / "r.h5"), str(files / "q.h5")),
    ):
        with pytest.raises(StoreError, match=r"read by this command|is there and is not"):
            write()
    assert contents(files) == before


def test_the_same_kind_and_empty_files_are_replaced(files: Path, engine: Engine) -> None:
    (files / "empty").touch()
    scored, found = score_pairs(files / "pairs.csv", files / "truth.csv"), search(files / "q.h5", files / "r.h5", k=1)
    for name, kind, write in (
        ("pairs.csv", PAIRS, lambda out: save_pairs(found, out)),
        ("report.html", REPORT, lambda out: save_report(scored, out)),
        ("s.h5", SUBMISSION, lambda out: write_submission(str(files / "q.h5"), files / "r.h5", str(out))),
        ("r.h5", DESCRIPTORS, lambda out: engine.embed_source(files / "queries", out)),
    ):
        before = (files / name).stat().st_ino
        write(files / name)
        assert (files / name).stat().st_ino != before and kind.recognises(files / name)
        (files / "empty").write_bytes(b"")
        write(files / "empty")
        assert kind.recognises(files / "empty")
    check_output(files / "plot.png", PNG)


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(StoreError):
        check_output(tmp_path / "a", PAIRS)


@pytest.mark.parametrize("how", ["text", "pictures", "symlink", "hard link", "dangling", "pipe", "folder"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_partial_that_is_no_journal_is_never_touched(
    photos: Path, tmp_path: Path, engine: Engine, how: str, resume: bool
) -> None:
    partial, other = tmp_path / "f.h5.partial", tmp_path / "mine"
    journal = Journal(tmp_path / "other.h5", {"a": 1}, 4, resume=False)
    journal.close()
    shutil.move(journal.path, other)
    make: dict[str, Callable[[], object]] = {
        "text": lambda: partial.write_text("my notes\n"),
        "pictures": lambda: shutil.copy(PHOTOS / "references" / "R0000.jpg", partial),
        "symlink": lambda: partial.symlink_to(other),
        "hard link": lambda: os.link(other, partial),
        "dangling": lambda: partial.symlink_to(tmp_path / "nowhere"),
        "pipe": lambda: os.mkfifo(partial),
        "folder": lambda: partial.mkdir(),
    }
    make[how]()
    before = contents(tmp_path) if how != "pipe" else {}
    with pytest.raises(StoreError, match=r"f\.h5\.partial"):
        engine.embed_source(photos, tmp_path / "f.h5", resume=resume)
    assert not (tmp_path / "f.h5").exists() and not (tmp_path / "nowhere").exists()
    assert how == "pipe" or contents(tmp_path) == before


def test_what_a_killed_run_left_is_used_or_replaced(photos: Path, tmp_path: Path, engine: Engine) -> None:
    for start in (b"", b"copytr", b'copytrace journal {"bun'):
        (tmp_path / "f.h5.partial").write_bytes(start)
        engine.embed_source(photos, tmp_path / "f.h5", resume=True)
        (tmp_path / "f.h5").unlink()
    assert list(tmp_path.iterdir()) == [photos]


def test_temporary_names_are_each_writers_own(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    (tmp_path / ".pairs.csv.tmp").write_text("mine")
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        second.write_text("second")
        first.write_text("first")
    assert path.read_text() == "first" and (tmp_path / ".pairs.csv.tmp").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_what_killed_writers_left_is_removed_and_living_ones_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    left = tmp_path / ".a.csv.0123abcd.tmp"
    left.write_text("left")
    (tmp_path / ".b.csv.0123abcd.tmp").write_text("of another file")
    with replacing(path) as living:
        assert not left.exists()
        with replacing(path) as other:
            other.write_text("x")
        assert living.exists()
        living.write_text("y")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.csv.0123abcd.tmp", "a.csv"]


def test_many_writers_of_one_file(tmp_path: Path) -> None:
    """Each ends well, and the file is one of theirs whole."""
    path, errors = tmp_path / "a", []

    def write(number: int) -> None:
        try:
            for _ in range(30):
                with replacing(path) as temporary:
                    temporary.write_bytes(bytes([number]) * 5000)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data = path.read_bytes()
    assert not errors and len(data) == 5000 and len(set(data)) == 1 and list(tmp_path.iterdir()) == [path]


def test_a_file_that_its_writer_still_holds_locked_is_read_and_replaced(files: Path) -> None:
    with (files / "q.h5").open("r+b") as file, (files / "s.h5").open("r+b") as old:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.flock(old, fcntl.LOCK_EX)
        command = [COPYTRACE, "submission", "q.h5", "r.h5", "-o", "s.h5", "--json"]
        assert subprocess.run(command, cwd=files, capture_output=True).returncode == 0


def test_two_searches_and_submissions_at_once(files: Path) -> None:
    expected = {
        verb: (files / name).read_bytes() if name.endswith("csv") else b""
        for verb, name in (("search", "pairs.csv"), ("submission", "s.h5"))
    }
    for verb, name in (("search", "two.csv"), ("submission", "two.h5")):
        command = [COPYTRACE, verb, "q.h5", "r.h5", "-o", name, "--json"]
        running = [subprocess.Popen(command, cwd=files, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        for process in running:
            out, _ = process.communicate()
            assert process.returncode == 0 and json.loads(out)["queries"] == 6
        if verb == "search":
            assert (files / name).read_bytes() == expected[verb]
        else:
            with h5py.File(files / name) as two, h5py.File(files / "s.h5") as one:
                assert (two["query"][:] == one["query"][:]).all() and two["reference_ids"][0] == b"r0"
