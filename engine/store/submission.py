"""The challenge's submission: one HDF5 file with both halves, and the check that finds whatever is wrong with one."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np

from ..arguments import file_path, whole_number
from ..errors import StoreError
from ..outputs import SUBMISSION, check_output
from .comparable import KEPT, check_comparable
from .descriptors import DescriptorFile, open_descriptors, refuse_views
from .hdf5 import new_hdf5
from .reading import find_dataset, open_hdf5, reading

MAX_DIMENSION = 256
HALVES = ("query", "reference")
_ROWS = 1 << 16


def write_submission(
    queries: str | os.PathLike[str], references: str | os.PathLike[str], output: str | os.PathLike[str]
) -> tuple[int, int]:
    """Join two descriptor files into a submission, rows sorted by id; returns the numbers of queries and references.

    Raises: StoreError when a file cannot be read or written, dimensions differ or exceed 256, ids repeat or values are not
    finite; when ``output`` is one of the two files or a file of another kind; ComparisonError, one of it, when the
    two do not belong together.
    """
    queries, references = file_path("queries", queries), file_path("references", references)
    output = file_path("output", output)
    check_output(output, SUBMISSION, (queries, references))
    with open_descriptors(queries, "query") as q, open_descriptors(references, "reference") as r:
        check_comparable(q, r)
        refuse_views(q, r, what="a submission has one row for each image")
        if q.descriptors.shape[1] != r.descriptors.shape[1]:
            raise StoreError(
                f"dimensions differ: {q.path} has {q.descriptors.shape[1]}, {r.path} has {r.descriptors.shape[1]}"
            )
        if q.descriptors.shape[1] > MAX_DIMENSION:
            raise StoreError(f"{q.descriptors.shape[1]} dimensions, at most {MAX_DIMENSION} are allowed")
        with new_hdf5(output) as file:
            for half, source in zip(HALVES, (q, r), strict=True):
                _copy_half(file, half, source)
        return len(q.ids), len(r.ids)


def _copy_half(file: h5py.File, half: str, source: DescriptorFile) -> None:
    order = sorted(range(len(source.ids)), key=source.ids.__getitem__)
    ids = [source.ids[i] for i in order]
    for first, second in pairwise(ids):
        if first == second:
            raise StoreError(f"{source.path}: the id {first!r} occurs twice")
    target = file.create_dataset(half, source.descriptors.shape, np.float32)
    for start in range(0, len(order), _ROWS):
        rows = np.asarray(source.descriptors.take(np.asarray(order[start : start + _ROWS])), np.float32)
        if not np.isfinite(rows).all():
            raise StoreError(f"{source.path}: NaN or infinite values; a submission must be finite")
        target[start : start + len(rows)] = rows
    target.attrs.update({name: source.attributes[name] for name in KEPT if name in source.attributes})
    file.create_dataset(f"{half}_ids", data=ids, dtype=h5py.string_dtype("utf-8"))


def check_submission(path: str | os.PathLike[str], phase: int | None = None) -> list[str]:
    """Every way in which a file breaks the challenge's rules, one line each; empty when it is right.

    phase: 1 or 2 also checks the numbers of rows and the ids of that phase; None checks the form only.
    Raises: StoreError when the file is missing or not HDF5; ValueError or TypeError for arguments that are not allowed.
    """
    path = file_path("path", path)
    if phase is not None:
        whole_number("phase", phase, 1, 2)
    with reading(path), open_hdf5(path) as file:
        return list(_violations(file, path, phase))


def _violations(file: h5py.File, path: Path, phase: int | None) -> Iterator[str]:
    dimensions = {}
    for half in HALVES:
        rows, names = find_dataset(file, half, path), find_dataset(file, f"{half}_ids", path)
        row_count = id_count = None
        if rows is None:
            yield f"{half}: dataset missing"
        else:
            yield from _row_violations(half, rows)
            if rows.ndim == 2:
                row_count, dimensions[half] = rows.shape
        if names is None:
            yield f"{half}_ids: dataset missing"
        elif names.ndim != 1:
            yield f"{half}_ids: must have 1 dimension, not {names.ndim}"
        else:
            id_count = len(names)
            yield from _id_violations(half, names, phase)
        if row_count is not None and id_count is not None and row_count != id_count:
            yield f"{half}_ids: {id_count} ids for {row_count} rows in {half}"
        if phase is not None and row_count is not None and row_count != _count(half):
            yield f"{half}: {row_count} rows, phase {phase} has {_count(half)}"
    if len(set(dimensions.values())) > 1:
        yield f"dimensions differ: query has {dimensions['query']}, reference has {dimensions['reference']}"


def _row_violations(half: str, rows: h5py.Dataset) -> Iterator[str]:
    if rows.dtype != np.float32:
        yield f"{half}: dtype is {rows.dtype}, must be float32"
    if rows.ndim != 2:
        yield f"{half}: must have 2 dimensions, not {rows.ndim}"
        return
    if not 1 <= rows.shape[1] <= MAX_DIMENSION:
        yield f"{half}: {rows.shape[1]} descriptor dimensions, must be 1 to {MAX_DIMENSION}"
    if rows.dtype.kind != "f":
        return
    bad = {"NaN": 0, "infinite": 0}
    first: dict[str, int] = {}
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS]
        for kind, mask in (("NaN", np.isnan(block)), ("infinite", np.isinf(block))):
            hit = mask.any(axis=1)
            bad[kind] += int(hit.sum())
            if hit.any():
                first.setdefault(kind, start + int(hit.argmax()))
    for kind, count in bad.items():
        if count:
            yield f"{half}: {kind} values in {count} row(s), the first is row {first[kind]}"


def _id_violations(half: str, dataset: h5py.Dataset, phase: int | None) -> Iterator[str]:
    values = dataset[:]
    if values.dtype.kind not in "OSU":
        yield f"{half}_ids: dtype is {values.dtype}, must be text"
        return
    try:
        ids = [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values.tolist()]
    except UnicodeDecodeError:
        yield f"{half}_ids: not UTF-8"
        return
    seen: set[str] = set()
    repeated = [name for name in ids if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    if repeated:
        yield f"{half}_ids: {len(repeated)} duplicate id(s), the first is {repeated[0]!r}"
    unsorted = next((i for i in range(1, len(ids)) if ids[i] < ids[i - 1]), None)
    if unsorted is not None:
        yield f"{half}_ids: not sorted, {ids[unsorted]!r} comes after {ids[unsorted - 1]!r} at row {unsorted}"
    if phase is not None:
        expected = _expected_ids(half, phase)
        wrong = sorted(seen - expected)
        missing = sorted(expected - seen)
        if wrong:
            yield f"{half}_ids: {len(wrong)} id(s) not in phase {phase}, the first is {wrong[0]!r}"
        if missing:
            yield f"{half}_ids: {len(missing)} id(s) of phase {phase} missing, the first is {missing[0]!r}"


def _count(half: str) -> int:
    return 50_000 if half == "query" else 1_000_000


def _expected_ids(half: str, phase: int) -> set[str]:
    if half == "reference":
        return {f"R{number:06d}" for number in range(_count(half))}
    start = 0 if phase == 1 else 50_000
    return {f"Q{number:05d}" for number in range(start, start + _count(half))}
