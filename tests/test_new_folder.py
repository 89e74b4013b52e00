"""Folders that are whole or not there: after kills, errors, and with two writers at once."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from copytrace.engine import StoreError
from copytrace.train.new_folder import new_folder

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
    for signal_number in (signal.SIGKILL, signal.SIGTERM):
        process = subprocess.Popen([*ATTACK, "-o", str(output), "--count", "5000"])
        wait_for(lambda: list(tmp_path.glob(".set.*/queries/Q00005.jpg")))
        process.send_signal(signal_number)
        assert process.wait() != 0
        assert not output.exists() and len(beside(output)) == 1
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
