"""Every wrong argument, in Python and on the command line: one error that names what is allowed, and nothing done."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from copytrace.engine import (
    Engine,
    check_submission,
    open_descriptors,
    save_pairs,
    save_report,
    score_pairs,
    search,
    write_submission,
)

from conftest import PHOTOS

COPYTRACE = str(Path(sys.executable).parent / "copytrace")
ONE = PHOTOS / "references" / "R0000.jpg"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name in ("q", "r"):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["descriptors"] = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
            file["ids"] = [f"{name}{i}" for i in range(5)]
    (folder / "truth.csv").write_text("query_id,reference_id\nq0,r0\n")
    save_pairs(search(folder / "q.h5", folder / "r.h5"), folder / "pairs.csv")
    return folder


ENGINE: list[tuple[str, Any, str]] = [
    *(("precision", value, "int8, float32") for value in ("fp4", "INT8", "", None, 8, True)),
    *(("device", value, "auto, cpu, cuda") for value in ("gpu", "CUDA", "", None, 0, False)),
    *(("runtime", value, "auto, onnxruntime, tensorrt") for value in ("trt", "cpu", "", None, 0, False)),
    *(("backend", value, "auto, native, numpy, cuda") for value in ("x", "", None, 1, b"native", ["native"])),
    *(("threads", value, "whole number") for value in (0, -1, 2**59, 1.0, "2", True, float("nan"), [2])),
    *(("batch", value, "whole number") for value in (0, -3, 10**9, 2.5, "8", False, (8,))),
    *(("pixel_limit", value, "whole number") for value in (0, -1, None, 1e6, "9", True)),
    *(("bundle", value, "path") for value in (None, 3, b"x", "", "a\0b", ["a"], True)),
]


@pytest.mark.parametrize(("name", "value", "allowed"), ENGINE)
def test_wrong_arguments_of_the_engine(name: str, value: object, allowed: str) -> None:
    with pytest.raises((ValueError, TypeError), match=rf"{allowed}.* not |no fp4 network|no  network|no INT8 network"):
        Engine(**{name: value})  # type: ignore[arg-type]


CHOICES: list[tuple[str, Any, str]] = [
    *(("role", value, "reference, query") for value in ("querry", "Query", "", None, 1, True, ["query"])),
    *(("output", value, "raw, projected, method1, method2") for value in ("Raw", "", 1, False, ["raw"])),
]
SOURCE: list[tuple[str, Any, str]] = [
    *(("ids", value, "stem, path") for value in ("name", "", None, 1)),
    *(("on_error", value, "skip, fail") for value in ("raise", "", None, True)),
    *(("resume", value, "True or False") for value in ("no", 1, None, 0)),
    *(("progress", value, "function") for value in (None, True, "x")),
]


@pytest.mark.parametrize(("name", "value", "allowed"), [*CHOICES, *SOURCE])
def test_wrong_arguments_of_embedding(engine: Engine, tmp_path: Path, name: str, value: object, allowed: str) -> None:
    with pytest.raises((ValueError, TypeError), match=allowed):
        engine.embed_source(PHOTOS / "queries", tmp_path / "a.h5", **{name: value})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
    if (name, value, allowed) in CHOICES:
        with pytest.raises((ValueError, TypeError), match=allowed):
            engine.embed([ONE], **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [None, 3, b"x", "", "a\0b", ["a"], True])
def test_wrong_paths(engine: Engine, files: Path, wrong: Any) -> None:
    found, scored = search(files / "q.h5", files / "r.h5"), score_pairs(files / "pairs.csv", files / "truth.csv")
    before = sorted(path.name for path in files.iterdir())
    calls: list[Callable[[], object]] = [
        lambda: engine.embed_source(None if wrong == ["a"] else wrong, files / "a.h5"),  # a list is one of paths
        lambda: engine.embed_source(PHOTOS / "queries", wrong),
        lambda: search(wrong, files / "r.h5"),
        lambda: search(files / "q.h5", wrong),
        lambda: save_pairs(found, wrong),
        lambda: save_report(scored, wrong),
        lambda: score_pairs(wrong, files / "truth.csv"),
        lambda: score_pairs(files / "pairs.csv", wrong),
        lambda: write_submission(wrong, files / "r.h5", files / "s.h5"),
        lambda: write_submission(files / "q.h5", wrong, files / "s.h5"),
        lambda: write_submission(files / "q.h5", files / "r.h5", wrong),
        lambda: check_submission(wrong),
        lambda: open_descriptors(wrong),
    ]
    for call in calls:
        with pytest.raises((ValueError, TypeError), match=r"must be (a|the) path"):
            call()
    assert sorted(path.name for path in files.iterdir()) == before


NUMBERS: list[tuple[str, Any]] = [
    *((name, value) for name in ("top", "k", "threads") for value in (0, -1, 1.5, "3", True, float("nan"), [1])),
    *(("max_distance", value) for value in (-1, -1e-9, float("nan"), -float("inf"), "1", True, [1.0], 1j)),
    ("threads", 2**59),
]


@pytest.mark.parametrize(("name", "value"), NUMBERS)
def test_wrong_numbers_of_searching(files: Path, name: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError), match=f"{name} must be a (whole )?number"):
        search(files / "q.h5", files / "r.h5", **{name: value})  # type: ignore[arg-type]


def test_numbers_of_numpy_and_very_large_ones_are_numbers(files: Path) -> None:
    q, r = files / "q.h5", files / "r.h5"
    assert len(search(q, r, k=np.int64(2)).pairs) == len(search(q, r, k=2, threads=np.uint8(1)).pairs) == 10
    for everything in (1e300, 1e154, 1e200, float("inf"), 10**400, np.float64(1e300)):
        assert len(search(q, r, max_distance=everything).pairs) == 25
    assert len(search(q, r, max_distance=np.float32(0)).pairs) == 5
    assert len(search(q, r, k=10**30).pairs) == len(search(q, r, top=10**30).pairs) == 25


def test_other_wrong_arguments(files: Path) -> None:
    for call in (
        lambda: open_descriptors(files / "q.h5", "querry"),
        lambda: check_submission(files / "q.h5", 3),
        lambda: check_submission(files / "q.h5", True),
        lambda: save_pairs("pairs", files / "x.csv"),  # type: ignore[arg-type]
        lambda: save_report("scored", files / "x.html"),  # type: ignore[arg-type]
        lambda: score_pairs(files / "pairs.csv", files / "truth.csv", cap="no"),  # type: ignore[arg-type]
        lambda: search(files / "q.h5", files / "r.h5", k=1, top=1),
    ):
        with pytest.raises((ValueError, TypeError)):
            call()


def test_a_single_picture_is_one_row(engine: Engine) -> None:
    pixels = np.asarray(Image.open(ONE).convert("RGB"))
    grey = np.asarray(Image.open(ONE).convert("L"))
    data = ONE.read_bytes()
    for picture in (str(ONE), np.str_(ONE), ONE, data, bytearray(data), memoryview(data), pixels, grey):
        row = engine.embed(picture)
        assert row.shape == (1, 256) and (row == engine.embed([picture])).all()


def test_several_pictures_in_any_sequence(engine: Engine) -> None:
    paths = sorted((PHOTOS / "references").glob("*.jpg"))[:3]
    rows = engine.embed(paths)
    for images in (tuple(paths), iter(paths), (p for p in paths), np.array([str(p) for p in paths])):
        assert (engine.embed(images) == rows).all()
    stack = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    assert (engine.embed(stack) == engine.embed(list(stack))).all() and engine.embed(stack[:0]).shape == (0, 256)


@pytest.mark.parametrize("wrong", [None, 3, 1.5, True, {}, {"a": 1}, {"a.jpg"}, object(), np.uint8(3)])
def test_what_is_no_picture(engine: Engine, wrong: Any) -> None:
    with pytest.raises(TypeError, match="a path, the bytes of an encoded image, or uint8 pixels"):
        engine.embed(wrong)
    with pytest.raises(TypeError, match="image 1 must be a path, the bytes of an encoded image, or uint8 pixels"):
        engine.embed([ONE, wrong])


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((2, 4, 4), np.uint8),
        np.zeros(9, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.array(5, np.uint8),
        np.zeros((2, 4, 4, 3), bool),
    ],
)
def test_arrays_that_are_no_picture(engine: Engine, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"image 0 must be uint8 RGB \[H, W, 3\] or grey \[H, W\]"):
        engine.embed(wrong)


USAGE = [
    "search q.h5 r.h5 -o p.csv --max-distance -1",
    "search q.h5 r.h5 -o p.csv --max-distance nan",
    "search q.h5 r.h5 -o p.csv --max-distance x",
    "search q.h5 r.h5 -o p.csv --k 0",
    "search q.h5 r.h5 -o p.csv --top -1",
    "search q.h5 r.h5 -o p.csv --top 1.5",
    "search q.h5 r.h5 -o p.csv --threads 0",
    "search q.h5 r.h5 -o p.csv --threads 99999999999999999999",
    "search q.h5 r.h5 -o p.csv --k 1 --top 1",
    "search q.h5 r.h5",
    "search '' r.h5 -o p.csv",
    "search q.h5 r.h5 -o ''",
    "embed '' -o a.h5",
    "embed x -o a.h5 --role querry",
    "embed x -o a.h5 --device gpu",
    "embed x -o a.h5 --runtime trt",
    "match x y -o a.csv --device gpu",
    "match x y -o a.csv --runtime trt",
    "embed x -o a.h5 --backend x",
    "embed x -o a.h5 --on-error raise",
    "embed x -o a.h5 --descriptors Raw",
    "embed x -o a.h5 --id name",
    "embed x -o a.h5 --precision fp4",
    "embed x -o a.h5 --threads -1",
    "embed x -o a.h5 --batch-size 0",
    "embed x -o a.h5 --pixel-limit 0",
    "calibrate pairs.csv truth.csv --precision nan",
    "calibrate pairs.csv truth.csv --precision 1.5",
    "calibrate pairs.csv truth.csv --false-matches nan",
    "calibrate pairs.csv truth.csv --precision 0.9 --confidence nan",
    "calibrate pairs.csv truth.csv",
    "evaluate pairs.csv",
    "evaluate pairs.csv ''",
    "submission q.h5 -o s.h5",
    "submission q.h5 r.h5 -o s.h5 --phase 1",
    "submission --check q.h5 --phase 3",
    "demo -o ''",
    "embed --nonsense",
    "nonsense",
]


@pytest.mark.parametrize("command", USAGE)
def test_wrong_usage(files: Path, command: str) -> None:
    import shlex

    before = sorted(path.name for path in files.iterdir())
    result = subprocess.run([COPYTRACE, *shlex.split(command), "--json"], cwd=files, capture_output=True, text=True)
    assert result.returncode == 2 and "Traceback" not in result.stderr and "rror" in result.stderr, result.stderr
    answer = json.loads(result.stdout)
    assert answer["kind"] == "usage" and answer["error"] in " ".join(result.stderr.split())
    assert sorted(path.name for path in files.iterdir()) == before


ERRORS = [
    "embed missing -o a.h5",
    "search q.h5 missing -o p.csv",
    "evaluate pairs.csv missing",
    "calibrate missing truth.csv --precision 0.9",
    "submission q.h5 missing -o s.h5",
    "submission --check missing",
    "demo -o q.h5",
    "attack missing -o set",
    "train missing -o run",
    "train tune missing missing",
]


@pytest.mark.parametrize("command", ERRORS)
def test_errors_are_one_object_too(files: Path, command: str) -> None:
    result = subprocess.run([COPYTRACE, *command.split(), "--json"], cwd=files, capture_output=True, text=True)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1, result.stderr
    answer = json.loads(result.stdout)
    assert result.stderr == f"error: {answer['error']}\n" and answer["kind"].endswith("Error")
    plain = subprocess.run([COPYTRACE, *command.split()], cwd=files, capture_output=True, text=True)
    assert plain.returncode == 1 and not plain.stdout and plain.stderr == result.stderr


def test_names_that_are_no_utf8(files: Path) -> None:
    result = subprocess.run([COPYTRACE, "embed", b"\xff", "-o", "a.h5", "--json"], cwd=files, capture_output=True)
    assert result.returncode == 1 and "udcff" in json.loads(result.stdout)["error"]


def test_everything_within_a_very_large_distance(files: Path) -> None:
    command = [COPYTRACE, *["search", "q.h5", "r.h5", "-o", "all.csv", "--max-distance", "1e300", "--json"]]
    result = subprocess.run(command, cwd=files, capture_output=True, text=True)
    assert result.returncode == 0 and json.loads(result.stdout)["pairs"] == 25
