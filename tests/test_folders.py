"""Folders that are whole or not there: after kills, errors, and with two writers at once."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from copytrace.engine import StoreError
from copytrace.engine.store import folders
from copytrace.engine.store.folders import new_folder, replacing_folder

from conftest import PHOTOS

ATTACK = [str(Path(sys.executable).with_name("copytrace")), "attack", str(PHOTOS / "references")]


def beside(folder: Path) -> list[Path]:
    return sorted(folder.parent.glob(f".{folder.name}.*"))


def wait_for(condition) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "waited for a minute"
        time.sleep(0.01)


def test_attack_killed_leaves_nothing_that_looks_like_a_set_and_runs_again(tmp_path: Path) -> None:
    output = tmp_path / "set"
    for signal_number, left in ((signal.SIGTERM, 0), (signal.SIGKILL, 1)):  # asked to end, it tidies up
        process = subprocess.Popen([*ATTACK, "-o", str(output), "--count", "5000"])
        wait_for(lambda: list(tmp_path.glob(".set.*/queries/Q00005.jpg")))
        process.send_signal(signal_number)
        assert process.wait() != 0
        assert not output.exists() and len(beside(output)) == left
    subprocess.run([*ATTACK, "-o", str(output), "--count", "30"], check=True)
    assert beside(output) == [], "what the killed runs left is removed"
    with (output / "truth.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(list((output / "queries").iterdir())) == 30


@pytest.mark.parametrize("kind", ["folder", "full folder", "file", "dead link"])
def test_attack_refuses_what_is_there(tmp_path: Path, kind: str) -> None:
    output = tmp_path / "set"
    if kind == "file":
        output.write_text("mine")
    elif kind == "dead link":
        output.symlink_to(tmp_path / "nowhere")
    else:
        output.mkdir()
        if kind == "full folder":
            (output / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    result = subprocess.run([*ATTACK, "-o", str(output), "--count", "3"], capture_output=True, text=True)
    assert result.returncode == 1 and result.stderr.count("\n") == 1 and "is there already" in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_an_error_in_between_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "made") as folder:
        (folder / "file").write_text("half")
        _ = 1 // 0
    assert list(tmp_path.iterdir()) == []


def test_a_bad_image_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xffjunk")
    command = [*ATTACK[:-1], str(tmp_path / "photos"), "-o", str(tmp_path / "set"), "--count", "2"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1 and "bad" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_of_two_writers_the_first_to_end_wins(tmp_path: Path) -> None:
    made = tmp_path / "made"
    with pytest.raises(StoreError, match="is there already"), new_folder(made) as first:
        (first / "who").write_text("first")
        with new_folder(made) as second:
            assert first.exists(), "a folder that is being written is not taken for an abandoned one"
            (second / "who").write_text("second")
    assert (made / "who").read_text() == "second" and beside(made) == []


def test_only_its_own_leavings_are_removed(tmp_path: Path) -> None:
    others = [
        tmp_path / name for name in (".made.photos.partial", ".made.0123456789ab", ".madness.0123456789ab.partial")
    ]
    for path in others:
        path.mkdir()
    (tmp_path / ".made.0123456789ab.partial").mkdir()
    (tmp_path / ".made.ba9876543210.partial").symlink_to(others[0])
    with new_folder(tmp_path / "made"):
        pass
    assert all(path.exists() for path in others) and not (tmp_path / ".made.0123456789ab.partial").exists()


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be written"), new_folder(tmp_path / "file" / "made"):
        pass
    with pytest.raises(StoreError, match="cannot be written"), new_folder(tmp_path / ("n" * 250)):
        pass


def test_names_with_signs_that_mean_something_to_glob(tmp_path: Path) -> None:
    for _ in range(2):
        with new_folder(tmp_path / "a[b]*?" / f"made[{_}]") as folder:
            (folder / "x").write_text("x")
    assert len(list(tmp_path.rglob("x"))) == 2


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for round_ in range(2):
        with replacing_folder(made) as folder:
            (folder / f"{round_}").write_text("whole")
    assert [path.name for path in made.iterdir()] == ["1"]
    with pytest.raises(ZeroDivisionError), replacing_folder(made) as folder:
        _ = 1 // 0
    assert [path.name for path in made.iterdir()] == ["1"] and beside(made) == []


def test_of_two_that_replace_a_folder_the_later_one_stays(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for _ in range(2):  # one that is not there yet, and one that is
        with replacing_folder(made) as first:
            (first / "who").write_text("first")
            with replacing_folder(made) as second:
                (second / "who").write_text("second")
            assert (made / "who").read_text() == "second"
        assert (made / "who").read_text() == "first" and beside(made) == []


@pytest.mark.parametrize("exchange", [True, False], ids=["in one step", "in two"])
def test_a_link_to_a_folder_stays_a_link(tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exchange:
        monkeypatch.setattr(folders, "_RENAME_EXCHANGE", 1 << 20)  # no such thing, as on other systems
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with replacing_folder(tmp_path / "link") as folder:
        (folder / "new").write_text("whole")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "new").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_there_is_no_moment_without_the_folder(tmp_path: Path) -> None:
    """Killed at any time while it replaces a folder again and again, a process leaves one that is whole."""
    code = """
import sys
from pathlib import Path
from copytrace.engine.store.folders import replacing_folder
while True:
    with replacing_folder(Path(sys.argv[1])) as folder:
        (folder / "a").write_text("x" * 1000)
        (folder / "b").write_text("x" * 1000)
"""
    made = tmp_path / "made"
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code, str(made)])
        wait_for(made.exists)
        for _ in range(2000):
            assert made.exists()
        process.kill()
        process.wait()
        assert {path.name: path.stat().st_size for path in made.iterdir()} == {"a": 1000, "b": 1000}
    with replacing_folder(made):
        pass
    assert beside(made) == []


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "made").write_text("mine")
    with pytest.raises(StoreError, match="is a file"), replacing_folder(tmp_path / "made"):
        pass
    assert (tmp_path / "made").read_text() == "mine"
