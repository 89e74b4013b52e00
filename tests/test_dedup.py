"""Near-duplicates within one source: real copies are grouped, the best is kept, and nothing is lost or destroyed."""

import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from copytrace.engine import (
    ComparisonError,
    Duplicates,
    Engine,
    SearchError,
    StoreError,
    find_duplicates,
    save_duplicates,
    save_duplicates_report,
)
from copytrace.engine.read import image_size
from copytrace.engine.search import components, connected_rows
from copytrace.engine.store import write_descriptors

import in_process
from conftest import PHOTOS

SINGLE = [f"R{number:04d}" for number in range(10, 30)]


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "copytrace"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Twenty single photographs, four copies of R0000, a mirrored and a cropped R0001, and files that are no pictures."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name in [*SINGLE, "R0000", "R0001"]:
        shutil.copy(PHOTOS / "references" / f"{name}.jpg", folder)
    first, second = (Image.open(folder / f"{name}.jpg").convert("RGB") for name in ("R0000", "R0001"))
    width, height = first.size
    first.save(folder / "a-small.jpg", quality=60)
    first.resize((width // 2, height // 2)).save(folder / "b-half.png")
    first.resize((2 * width, 2 * height)).save(folder / "z-large.webp", quality=80)
    ImageOps.mirror(second).save(folder / "mirrored.jpg", quality=40)
    width, height = second.size
    second.crop((width // 20, height // 20, width - width // 20, height - height // 20)).save(folder / "cropped.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (folder / "notes.txt").write_text("not an image")
    return folder


def members(found: Duplicates) -> list[list[str]]:
    return [[one.id for one in group] for group in found]


def test_copies_are_grouped_and_the_best_is_kept(album: Path, engine: Engine) -> None:
    found = find_duplicates(album, engine)
    assert [sorted(group) for group in members(found)] == [
        ["R0001", "cropped", "mirrored"],
        ["R0000", "a-small", "b-half", "z-large"],
    ]
    assert [group[0].id for group in found] == ["R0001", "z-large"]  # R0001 and its mirror: as many pixels, more bytes
    for group in found:
        assert [one.keep for one in group] == [True] + [False] * (len(group) - 1)
        assert group[0].distance == 0.0 and all(0 < one.distance < 0.8 for one in group[1:])
        for one in group:
            file = next(album.glob(f"{one.id}.*"))
            assert (one.width, one.height) == Image.open(file).size and one.size == file.stat().st_size
    assert [bad.id for bad in found.failed] == ["broken"] and sum(found.ignored.values()) == 1
    assert (found.images, found.embedded, len(found)) == (28, 27, 2)
    assert sorted(found.redundant()) == ["R0000", "a-small", "b-half", "cropped", "mirrored"]


def test_command_line(album: Path, tmp_path: Path) -> None:
    table, page = tmp_path / "groups.csv", tmp_path / "r.html"
    result = json.loads(run("dedup", album, "-o", table, "--report", page, "--json").stdout)
    assert (result["groups"], result["duplicates"], result["not_kept"]) == (2, 7, 5)
    assert [bad["id"] for bad in result["failed"]] == ["broken"] and sum(result["ignored"].values()) == 1
    assert result["missing_pictures"] == []
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["group", "id", "keep", "distance", "width", "height", "bytes"]
    assert Counter(row["group"] for row in rows) == {"1": 3, "2": 4}
    assert [row["id"] for row in rows if row["keep"] == "true"] == ["R0001", "z-large"]
    text = page.read_text()
    assert text.count("data:image/jpeg") == 7 and "broken" in text and "z-large" in text
    before = table.read_bytes()
    assert "1 failed" in run("dedup", album, "-o", table).stdout
    assert table.read_bytes() == before


def test_a_descriptor_file_gives_the_same(album: Path, tmp_path: Path, engine: Engine) -> None:
    engine.embed_source(album, tmp_path / "r.h5")
    direct = find_duplicates(album, engine)
    found = find_duplicates(tmp_path / "r.h5", pictures=album)
    assert found.groups == direct.groups and found.failed == direct.failed
    bare = find_duplicates(tmp_path / "r.h5")
    assert [group[0].id for group in bare] == ["R0000", "R0001"] and bare.groups[0][0].size is None
    assert save_duplicates_report(bare, tmp_path / "r.html") == []
    assert "no pictures given" in (tmp_path / "r.html").read_text()
    (album / "z-large.webp").unlink()
    moved = find_duplicates(tmp_path / "r.h5", pictures=album)
    assert moved.groups[0][0].id == "R0000"
    assert [one.id for one in save_duplicates_report(moved, tmp_path / "r.html")] == ["z-large"]


def test_paths_in_memory_and_on_standard_input(album: Path, tmp_path: Path, engine: Engine) -> None:
    paths = [str(path) for path in sorted(album.iterdir()) if path.suffix != ".txt"]
    assert len(find_duplicates(iter(paths), engine)) == 2
    command = [str(Path(sys.executable).parent / "copytrace"), "dedup", "-", "-o", tmp_path / "g.csv", "--json"]
    result = subprocess.run(command, input="\n".join(paths), capture_output=True, text=True, check=True)
    assert json.loads(result.stdout)["groups"] == 2


def test_a_damaged_picture_is_not_the_one_to_keep(tmp_path: Path, engine: Engine) -> None:
    whole = (PHOTOS / "references" / "R0003.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) * 9 // 10] + b"\0" * len(whole) + b"\xff\xd9")
    (tmp_path / "b.jpg").write_bytes(whole)
    found = find_duplicates(tmp_path, engine)
    assert [bad.id for bad in found.damaged] == ["a"] and members(found) == [["b", "a"]]


def test_bad_input_is_one_error(album: Path, tmp_path: Path, engine: Engine) -> None:
    out = tmp_path / "g.csv"
    engine.embed_source(album, tmp_path / "q.h5", role="query")
    with pytest.raises(ComparisonError, match="method"):
        find_duplicates(tmp_path / "q.h5")
    rows = np.ones((2, 4), np.float32)
    write_descriptors(tmp_path / "twice.h5", [(["a", "a"], rows)], rows.shape, [], {})
    with pytest.raises(SearchError, match="occurs twice"):
        find_duplicates(tmp_path / "twice.h5")
    write_descriptors(tmp_path / "nan.h5", [(["a", "b"], rows * np.nan)], rows.shape, [], {})
    run("dedup", tmp_path / "nan.h5", "-o", out, code=1)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="max_distance"):
            find_duplicates(album, engine, max_distance=wrong)
    for error, arguments in (
        (TypeError, {"engine": 3}),
        (ValueError, {"ids": "name"}),
        (ValueError, {"pictures": "x"}),
    ):
        with pytest.raises(error):
            find_duplicates(album, **arguments)
    run("dedup", tmp_path / "nothing", "-o", out, code=1)
    run("dedup", tmp_path / "q.h5", "-o", out, "--precision", "float32", code=2)
    run("dedup", album, "-o", out, "--max-distance", "nan", code=2)
    run("dedup", album, "-o", out, "--on-error", "fail", code=1)
    assert not out.exists()
    with pytest.raises(TypeError):
        save_duplicates([], out)  # type: ignore[arg-type]
    only = tmp_path / "only"
    only.mkdir()
    shutil.copy(album / "broken.jpg", only)
    assert "error" in json.loads(run("dedup", only, "-o", out, "--json", code=1).stdout)


def test_no_output_destroys_anything(album: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in album.iterdir()}
    out, other = tmp_path / "g.csv", tmp_path / "other.csv"
    other.write_text("query_id,reference_id,score\n")
    run("dedup", album, "-o", album / "R0000.jpg", code=1)
    run("dedup", album, "-o", out, "--report", album / "R0000.jpg", code=1)
    run("dedup", album, "-o", out, "--report", out, code=1)
    run("dedup", album, "-o", other, code=1)
    assert {path: path.read_bytes() for path in album.iterdir()} == before and not out.exists()
    found = find_duplicates(PHOTOS / "references" / "R0000.jpg")
    assert len(found) == 0
    with pytest.raises(StoreError):
        save_duplicates(found, other)


@given(st.integers(0, 40), st.integers(0, 60), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_components_are_those_of_all_pairs(count: int, distance: int, seed: int) -> None:
    rows = np.random.default_rng(seed).integers(0, 40, (count, 2)).astype(np.float32)
    expected = np.arange(count)
    near = ((rows[:, None] - rows[None]) ** 2).sum(-1) <= (distance / 8) ** 2
    for _ in range(count):
        expected = np.array([expected[near[i]].min() for i in range(count)], np.int64)
    assert connected_rows(rows, distance / 8).tolist() == expected.tolist()


def test_many_equal_rows_take_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "_MOST_AT_ONCE", 1)
    rows = np.repeat(np.eye(8, dtype=np.float32), 1300, axis=0)
    assert connected_rows(rows, 0.5).tolist() == np.repeat(np.arange(8) * 1300, 1300).tolist()


def test_size_of_a_turned_picture_is_upright(tmp_path: Path) -> None:
    picture, turned = Image.new("RGB", (40, 30)), Image.Exif()
    turned[0x0112] = 6
    for suffix in ("jpg", "png", "tiff"):
        picture.save(tmp_path / f"a.{suffix}", exif=turned)
        assert image_size((tmp_path / f"a.{suffix}").read_bytes()) == (30, 40), suffix


def test_verified_duplicates(album: Path, tmp_path: Path, engine: Engine) -> None:
    """A photograph pasted on something else lies far from itself, and is found by a second look; neither joins others."""
    pasted = Image.effect_noise((480, 360), 60).convert("RGB")
    pasted.paste(Image.open(album / "R0012.jpg").convert("RGB").resize((250, 190)), (150, 100))
    pasted.save(album / "pasted.png")

    def group_of(found: Duplicates, name: str) -> set[str]:
        return {one.id for group in found for one in group if name in {other.id for other in group}}

    plain, verified = find_duplicates(album, engine), find_duplicates(album, engine, verify=True)
    assert group_of(plain, "pasted") == set() and group_of(verified, "pasted") == {"pasted", "R0012"}
    for name in ("R0000", "R0001"):
        assert group_of(verified, name) == group_of(plain, name) != set()
    assert len(verified) == len(plain) + 1 and (verified.failed, verified.images) == (plain.failed, plain.images)
    assert find_duplicates(album, engine, verify=True, max_distance=0.0).groups == []
    done = in_process.run("dedup", album, "-o", tmp_path / "groups.csv", "--verify", "--json")
    assert json.loads(done.stdout)["groups"] == len(verified)
    engine.embed_source(album, tmp_path / "r.h5")
    with pytest.raises(ValueError, match="verification looks at images"):
        find_duplicates(tmp_path / "r.h5", verify=True)
    in_process.run("dedup", tmp_path / "r.h5", "-o", tmp_path / "groups.csv", "--verify", code=2)
