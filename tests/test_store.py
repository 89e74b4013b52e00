"""Descriptor files, the journal, and submissions."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

from copytrace.engine import StoreError, check_submission, open_descriptors, write_submission
from copytrace.engine.store import Journal, Slice, write_descriptors


def write(path: Path, ids: list[str], rows: np.ndarray, role: str = "query") -> Path:
    write_descriptors(path, [(ids, rows)], rows.shape, [("bad", "why\n")], {"role": role})
    return path


def rows_of(count: int, size: int = 4) -> np.ndarray:
    return np.arange(count * size, dtype=np.float32).reshape(count, size)


def test_descriptor_files_come_back(tmp_path: Path) -> None:
    ids = ["a b", "ünïcödé", "図"]
    with open_descriptors(write(tmp_path / "a.h5", ids, rows_of(3))) as file:
        assert file.ids == ids and (file.descriptors[:] == rows_of(3)).all() and file.descriptors.dtype == np.float32
        assert file.failed() == [("bad", "why\n")] and file.attributes["role"] == "query"
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_how_rows_come_changes_no_byte(tmp_path: Path) -> None:
    count = 70_000  # more than two slices; HDF5 lays ids of different lengths out as they are written
    ids, rows = [f"{'x' * (i % 7)}{i}" for i in range(count)], np.arange(count, dtype=np.float32)[:, None]
    for name, sizes in {"one": [count], "few": [40_000, 100, 29_900], "many": [999] * 71}.items():
        ends = np.minimum(np.cumsum([0, *sizes]), count).tolist()
        parts = [(ids[a:b], rows[a:b]) for a, b in pairwise(ends)]
        write_descriptors(tmp_path / f"{name}.h5", parts, (count, 1), [], {"a": "text", "b": 1})
    first = (tmp_path / "one.h5").read_bytes()
    assert (tmp_path / "few.h5").read_bytes() == first
    assert (tmp_path / "many.h5").read_bytes() == first


def test_files_of_other_writers(tmp_path: Path) -> None:
    for name, ids in (("bytes", np.array([b"x", b"y"])), ("numbers", np.array([7, 8])), ("text", ["x", "y"])):
        with h5py.File(tmp_path / name, "w") as file:
            file["descriptors"], file["ids"] = rows_of(2).astype(np.float64), ids
        with open_descriptors(tmp_path / name) as file:
            assert file.ids == (["7", "8"] if name == "numbers" else ["x", "y"]) and file.failed() == []


@pytest.mark.parametrize(
    ("contents", "word"),
    [
        ({}, "no dataset"),
        ({"descriptors": rows_of(2)}, "ids"),
        ({"descriptors": rows_of(2), "ids": ["a"]}, "2 rows"),
        ({"descriptors": np.ones(3, np.float32), "ids": ["a"] * 3}, "float"),
        ({"descriptors": np.ones((3, 2), int), "ids": ["a"] * 3}, "float"),
        ({"descriptors": rows_of(1), "ids": np.array([b"\xff"])}, "UTF-8"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, contents: dict[str, object], word: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, value in contents.items():
            file[name] = value
    with pytest.raises(StoreError, match=word):
        open_descriptors(tmp_path / "a.h5")


def test_broken_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    whole = write(tmp_path / "whole", ["a"], rows_of(1)).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    for name in ("text", "cut", "missing"):
        with pytest.raises(StoreError, match=name):
            open_descriptors(tmp_path / name)
        with pytest.raises(StoreError, match=name):
            check_submission(tmp_path / name)


IDENTITY: dict[str, str | int] = {"bundle": "x"}


def part(start: int, count: int) -> Slice:
    items = [(f"{i}", "broken" if i % 5 == 4 else None) for i in range(start, start + count)]
    good = [i for i, (_, why) in enumerate(items, start) if why is None]
    return Slice(items, np.repeat(np.float32(good)[:, None], 4, axis=1))


def test_journal_survives_being_cut_anywhere(tmp_path: Path) -> None:
    output = tmp_path / "out.h5"
    journal = Journal(output, IDENTITY, 4, resume=False)
    ends = [journal.path.stat().st_size]
    for start in (0, 7, 20):
        journal.append(part(start, 9))
        ends.append(journal.path.stat().st_size)
    journal.close()
    data = journal.path.read_bytes()
    for length in range(len(data) + 1):
        journal.path.write_bytes(data[:length])
        again = Journal(output, IDENTITY, 4, resume=True)
        whole = sum(length >= end for end in ends) - 1
        assert again.images == 9 * max(whole, 0)
        again.append(part(100, 3))
        assert [len(s.items) for s in again.slices()] == [9] * max(whole, 0) + [3]
        assert again.embedded == sum(len(s.rows) for s in again.slices())
        again.close()


def test_journal_notices_changed_bytes(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "out.h5", IDENTITY, 4, resume=False)
    journal.append(part(0, 9))
    journal.append(part(9, 9))
    journal.close()
    data = bytearray(journal.path.read_bytes())
    data[-10] ^= 1
    journal.path.write_bytes(data)
    assert Journal(tmp_path / "out.h5", IDENTITY, 4, resume=True).images == 9


def submission(path: Path, change: Callable[[dict[str, object]], None] = lambda parts: None) -> Path:
    parts: dict[str, object] = {
        "query": rows_of(3),
        "reference": rows_of(5),
        "query_ids": [f"Q{i:05d}" for i in range(3)],
        "reference_ids": [f"R{i:06d}" for i in range(5)],
    }
    change(parts)
    with h5py.File(path, "w") as file:
        for name, value in parts.items():
            file.create_dataset(name, data=value)
    return path


def test_a_right_submission_has_no_violation(tmp_path: Path) -> None:
    assert check_submission(submission(tmp_path / "s.h5")) == []


NAN, INF = rows_of(3), rows_of(5)
NAN[1, 2], INF[4, 0] = np.nan, np.inf
VIOLATIONS: list[tuple[dict[str, object], list[str]]] = [
    ({"query": rows_of(3).astype(np.float64)}, ["query: dtype is float64"]),
    ({"query": rows_of(3, 3)}, ["dimensions differ: query has 3, reference has 4"]),
    ({"query": rows_of(3, 257), "reference": rows_of(5, 257)}, ["query: 257 descriptor", "reference: 257 descriptor"]),
    ({"query": NAN}, ["query: NaN values in 1 row(s), the first is row 1"]),
    ({"reference": INF}, ["reference: infinite values in 1 row(s), the first is row 4"]),
    ({"query": None}, ["query: dataset missing"]),
    ({"reference_ids": None}, ["reference_ids: dataset missing"]),
    ({"query_ids": ["Q00001", "Q00000", "Q00002"]}, ["query_ids: not sorted"]),
    ({"query_ids": ["Q00000", "Q00000", "Q00002"]}, ["query_ids: 1 duplicate id(s), the first is 'Q00000'"]),
    ({"query_ids": ["Q00000", "Q00001"]}, ["query_ids: 2 ids for 3 rows"]),
    ({"query_ids": [0, 1, 2]}, ["query_ids: dtype is int64, must be text"]),
    ({"query": np.ones(3, np.float32)}, ["query: must have 2 dimensions, not 1"]),
    ({"query_ids": [["Q00000"], ["Q00001"], ["Q00002"]]}, ["query_ids: must have 1 dimension"]),
    (
        {"query": rows_of(3, 3).astype(int), "query_ids": None},
        ["query: dtype is int64", "query_ids: dataset", "dimensions differ"],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), VIOLATIONS)
def test_every_violation_is_found(tmp_path: Path, changes: dict[str, object], expected: list[str]) -> None:
    def change(parts: dict[str, object]) -> None:
        parts.update(changes)
        for name in [name for name, value in parts.items() if value is None]:
            del parts[name]

    found = check_submission(submission(tmp_path / "s.h5", change))
    assert len(found) == len(expected) and all(f.startswith(e) for f, e in zip(found, expected, strict=True)), found


def test_counts_and_ids_of_a_phase(tmp_path: Path) -> None:
    found = "\n".join(check_submission(submission(tmp_path / "s.h5"), phase=2))
    for line in (
        "query: 3 rows, phase 2 has 50000",
        "query_ids: 3 id(s) not in phase 2, the first is 'Q00000'",
        "query_ids: 50000 id(s) of phase 2 missing, the first is 'Q50000'",
        "reference: 5 rows, phase 2 has 1000000",
        "reference_ids: 999995 id(s) of phase 2 missing, the first is 'R000005'",
    ):
        assert line in found


def test_a_whole_phase_passes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        for half, count, name in (("query", 50_000, "Q{:05d}"), ("reference", 1_000_000, "R{:06d}")):
            file.create_dataset(half, (count, 2), np.float32, fillvalue=0.5)
            start = 50_000 if half == "query" else 0
            file[f"{half}_ids"] = [name.format(i) for i in range(start, start + count)]
    assert check_submission(tmp_path / "s.h5", phase=2) == []
    assert check_submission(tmp_path / "s.h5", phase=1) != []


def test_submissions_are_sorted_and_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(50)
    write(tmp_path / "q.h5", ["Q2", "Q0", "Q1"], rows_of(3))
    write(tmp_path / "r.h5", [f"R{i:02d}" for i in order], rows_of(50)[order], "reference")
    assert write_submission(tmp_path / "q.h5", tmp_path / "r.h5", tmp_path / "s.h5") == (3, 50)
    assert check_submission(tmp_path / "s.h5") == []
    with open_descriptors(tmp_path / "s.h5", "query") as q, open_descriptors(tmp_path / "s.h5", "reference") as r:
        assert q.ids == ["Q0", "Q1", "Q2"] and (q.descriptors[:] == rows_of(3)[[1, 2, 0]]).all()
        assert r.ids == sorted(r.ids) and (r.descriptors[:] == rows_of(50)).all()


def test_submissions_that_cannot_be_written(tmp_path: Path) -> None:
    good = write(tmp_path / "good.h5", ["a", "b", "c"], rows_of(3))
    for name, ids, rows, word in (
        ("dim", ["x"], rows_of(1, 5), "dimensions differ"),
        ("twice", ["x", "x"], rows_of(2), "twice"),
        ("nan", ["x", "y", "z"], NAN, "NaN"),
    ):
        with pytest.raises(StoreError, match=word):
            write_submission(good, write(tmp_path / name, ids, rows, "reference"), tmp_path / "s.h5")
    wide = write(tmp_path / "wide", ["x"], rows_of(1, 300), "reference")
    with pytest.raises(StoreError, match="at most 256"):
        write_submission(wide, wide, tmp_path / "s.h5")
    assert not (tmp_path / "s.h5").exists()
