"""Validation sets: the photographs held back, the edits, the folder made, and what is said when something is missing."""

import csv
import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from copytrace.engine import SourceError, StoreError
from copytrace.train.data.validation import folder_pair
from copytrace.train.validation_sets import held_back_for
from copytrace.train.validation_sets.build import KINDS, SIZES, Size, make_set
from copytrace.train.validation_sets.edit import CHAIN, Chance

from conftest import PHOTOS

REFERENCES = sorted((PHOTOS / "references").glob("*.jpg"))
SMALL = Size(16, 8, 8)
COMMAND = [sys.executable, "-m", "copytrace.train.validation_sets"]


@pytest.fixture(params=["wide", "odd"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "wide":
        pytest.importorskip("augly")
        pytest.importorskip("albumentations")
    return request.param


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's photographs under names of which 30 each are held back for a kind of set, and 30 are free."""
    folder = tmp_path_factory.mktemp("photos")
    left, names = {"wide": 30, "odd": 30, None: 30}, (f"p{i}" for i in range(10**6))
    sources = iter(REFERENCES)
    while any(left.values()):
        name = next(names)
        if left[held_back_for(name)]:
            left[held_back_for(name)] -= 1
            (folder / f"{name}.jpg").write_bytes(next(sources).read_bytes())
    return folder


def photo(index: int) -> np.ndarray:
    return cv2.imread(str(REFERENCES[index]), cv2.IMREAD_COLOR_RGB)


def chance(*seed: int) -> Chance:
    rng = np.random.default_rng(seed)
    return Chance(rng, lambda: photo(int(rng.integers(100, 200))))


def test_what_is_held_back_never_changes() -> None:
    ids = [f"T{i:06d}" for i in range(18720)]
    held = {kind: [name for name in ids if held_back_for(name) == kind] for kind in SIZES}
    assert {kind: len(names) for kind, names in held.items()} == {"wide": 2435, "odd": 729}
    for kind, size in SIZES.items():
        assert len(held[kind]) >= size.references + size.distractors
    digests = {kind: hashlib.sha256(" ".join(names).encode()).hexdigest()[:16] for kind, names in held.items()}
    assert digests == {"wide": "fcce91d0c7ac8a59", "odd": "72c9e633f51a9006"}


def test_every_edit_gives_a_new_picture_by_its_seed(kind: str) -> None:
    classes = KINDS[kind].classes
    assert set(KINDS[kind].order) == set(classes) | ({CHAIN} if kind == "wide" else set())
    grey = np.repeat(cv2.cvtColor(photo(3), cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    for picture in (grey, photo(2)[:48, :80].copy()):
        for name, edit in ((name, edit) for edits in classes.values() for name, edit in edits.items()):
            before = picture.copy()
            made = [edit(picture, chance(seed)) for seed in (1, 1, 2)]
            assert np.array_equal(picture, before), name
            assert np.array_equal(made[0], made[1]), name
            assert all(m.dtype == np.uint8 and m.shape[2:] == (3,) and min(m.shape[:2]) > 8 for m in made), name
            if picture is not grey:
                assert any(m.shape != before.shape or not np.array_equal(m, before) for m in made), name


def test_a_set_is_the_same_for_the_same_seed_and_can_be_read(kind: str, photos: Path, tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        assert make_set([photos], tmp_path / name, kind, SMALL, seed) == 16
    files = {
        name: {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("first", "again", "other")
    }
    assert files["first"] == files["again"] != files["other"]
    pair = folder_pair(tmp_path / "first")
    assert len(pair.reference_ids) == 16 and len(pair.query_ids) == 16
    assert {held_back_for(name) for name in pair.reference_ids} == {kind}
    with (tmp_path / "first" / "truth.csv").open(newline="") as file:
        truth = {row["query_id"]: row["reference_id"] for row in csv.DictReader(file)}
    copies = [reference for reference in truth.values() if reference]
    assert len(copies) == len(set(copies)) == 8 and set(copies) < set(pair.reference_ids)
    assert all(max(cv2.imread(str(path)).shape[:2]) <= 512 for path in (tmp_path / "first" / "queries").iterdir())
    assert sorted(truth) == sorted(pair.query_ids)


def test_copies_are_found_again(kind: str, photos: Path, tmp_path: Path) -> None:
    """Rows of pixels, reduced to 8 x 8, are enough for a good part of them, and for none when the truth is mixed up."""
    make_set([photos], tmp_path / "set", kind, Size(20, 20, 10), 0)
    pair = folder_pair(tmp_path / "set")

    def rows(pictures) -> np.ndarray:
        small = np.stack([cv2.resize(p, (8, 8), interpolation=cv2.INTER_AREA).ravel() for p in pictures]).astype(
            np.float32
        )
        small -= small.mean(axis=1, keepdims=True)
        return small / np.linalg.norm(small, axis=1, keepdims=True)

    found = pair.evaluate(rows, 64).micro_ap
    pair.reference_ids = pair.reference_ids[1:] + pair.reference_ids[:1]
    assert found > 0.3 > 0.1 > pair.evaluate(rows, 64).micro_ap


def test_too_few_photographs(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="30 of the photographs are held back for the odd set, which needs 31"):
        make_set([photos], tmp_path / "set", "odd", Size(21, 5, 10), 0)
    assert list(tmp_path.iterdir()) == []


def test_the_command(photos: Path, tmp_path: Path) -> None:
    command = [*COMMAND, str(photos), "-o", str(tmp_path / "set"), "--kind", "odd"]
    sizes = ["--references", "9", "--copies", "4", "--distractors", "4"]
    result = subprocess.run([*command, *sizes], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, f"9 references and 8 queries: {tmp_path / 'set'}\n"), result.stderr
    result = subprocess.run([*command, *sizes], capture_output=True, text=True)
    assert result.returncode == 1 and result.stderr.count("\n") == 1 and "is there already" in result.stderr
    for wrong in (["--seed", "-1"], ["--copies", "0"], ["--copies", "10"], ["--distractors", "1"], ["--kind", "x"]):
        assert subprocess.run([*command, *sizes, *wrong], capture_output=True).returncode == 2


@pytest.mark.parametrize("missing", ["augly", "albumentations"])
def test_a_missing_library_is_one_line(missing: str, photos: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = {[str(photos), '-o', str(tmp_path / 'set')]!r}"
        "; sys.argv += '--references 20 --copies 20 --distractors 10'.split()"
        "; from copytrace.train.validation_sets.__main__ import main; sys.exit(main())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1 and "copytrace[validation]" in result.stderr and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_folders_are_refused_before_the_work(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        make_set([photos], tmp_path / "file", "odd", SMALL, 0)
