"""Files with changed bytes: a CopytraceError or the right answer, nothing else, from whatever reads them."""

import io
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copytrace.engine import (
    Bundle,
    BundleError,
    CopytraceError,
    StoreError,
    check_submission,
    open_descriptors,
    search,
    write_submission,
)
from copytrace.engine.store import Journal, Slice, write_descriptors

from bundle_files import rehash, small_bundle

CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=4)
CUT = st.floats(0, 1)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
IDS = [f"ünï{i}" for i in range(6)]


def changed(data: bytes, changes: list[tuple[float, int]], cut: float = 1.0) -> bytes:
    out = bytearray(data)
    for place, bits in changes:
        out[int(place * len(out))] ^= bits
    return bytes(out[: int(cut * len(out)) + 1])


def descriptor_file(path: Path) -> Path:
    attributes = {"role": "reference", "output": "projected", "space": "s", "recipe": "r"}
    write_descriptors(path, [(IDS, ROWS)], ROWS.shape, [("x", "why")], attributes)
    return path


@FUZZ
@given(CHANGES)
def test_descriptor_files(tmp_path: Path, changes: list[tuple[float, int]]) -> None:
    path = descriptor_file(tmp_path / "a.h5")
    path.write_bytes(changed(path.read_bytes(), changes))
    try:
        with open_descriptors(path) as file:
            assert file.ids == IDS and (file.descriptors[:] == ROWS).all() and file.failed() == [("x", "why")]
            assert file.attributes["role"] == "reference" and file.attributes["space"] == "s"
    except CopytraceError:
        pass


@FUZZ
@given(CHANGES)
def test_submissions(tmp_path: Path, changes: list[tuple[float, int]]) -> None:
    (tmp_path / "a.h5").unlink(missing_ok=True)
    one = descriptor_file(tmp_path / "a.h5")
    path = tmp_path / "s.h5"
    path.unlink(missing_ok=True)
    write_submission(one, one, path)
    expected = search(path, path, k=2).pairs
    path.write_bytes(changed(path.read_bytes(), changes))
    try:
        assert check_submission(path) == []
        found = search(path, path, k=2)
        assert found.query_ids == sorted(IDS) and (found.pairs.distances == expected.distances).all()
    except CopytraceError:
        pass


@FUZZ
@given(CHANGES, CUT)
def test_journals(tmp_path: Path, changes: list[tuple[float, int]], cut: float) -> None:
    (tmp_path / "a.h5.partial").unlink(missing_ok=True)
    journal = Journal(tmp_path / "a.h5", {"run": "x"}, 4, resume=False)
    parts = [Slice([(name, None)], ROWS[i : i + 1]) for i, name in enumerate(IDS)] + [Slice([("x", "why")], ROWS[:0])]
    for part in parts:
        journal.append(part)
    journal.close()
    journal.path.write_bytes(changed(journal.path.read_bytes(), changes, cut))
    try:
        again = Journal(tmp_path / "a.h5", {"run": "x"}, 4, resume=True)
    except CopytraceError:
        return
    for read, part in zip(again.slices(), parts, strict=False):
        assert read.items == part.items and (read.rows == part.rows).all()
    again.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with a small projection and bank, so that a changed byte is often one of their headers'."""
    return small_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("name", ["projection.npz", "bank.npy"])
@FUZZ
@given(changes=CHANGES, cut=CUT)
def test_arrays_of_a_bundle(bundle: Path, name: str, changes: list[tuple[float, int]], cut: float) -> None:
    """With the hash made to fit: what is read is an array of the right form and finite, or an error."""
    whole = (bundle / name).read_bytes()
    try:
        (bundle / name).write_bytes(changed(whole, changes, cut))
        rehash(bundle, name)
        opened = Bundle(bundle)
        arrays = [opened.bank] if name == "bank.npy" else [opened.projection.mean, opened.projection.components]
        assert all(array.dtype == np.float32 and np.isfinite(array).all() and array.size for array in arrays)
    except CopytraceError:
        pass
    finally:
        (bundle / name).write_bytes(whole)


WRONG_BANKS = [
    np.empty((0, 4)),
    np.ones(4),
    np.full((2, 4), np.nan),
    np.ones((2, 4), "U3"),
    np.ones((2, 3, 4)),
    np.float32(1),
]


@pytest.mark.parametrize("bank", WRONG_BANKS, ids=str)
def test_banks_that_are_none(bundle: Path, bank: np.ndarray) -> None:
    np.save(bundle / "bank.npy", bank)
    rehash(bundle, "bank.npy")
    with pytest.raises(BundleError, match=r"bank\.npy"):
        _ = Bundle(bundle).bank


def test_a_bank_that_is_a_zip(bundle: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, bank=ROWS)
    (bundle / "bank.npy").write_bytes(buffer.getvalue())
    rehash(bundle, "bank.npy")
    with pytest.raises(BundleError, match="not a bank"):
        _ = Bundle(bundle).bank


WRONG_PARTS = [
    ("mean", ROWS),
    ("mean", ROWS[0, :3]),
    ("components", ROWS * np.nan),
    ("eigenvalues", -np.ones(6)),
    ("mean", None),
]


@pytest.mark.parametrize(("part", "value"), WRONG_PARTS, ids=str)
def test_projections_that_are_none(bundle: Path, part: str, value: np.ndarray | None) -> None:
    parts = {**np.load(bundle / "projection.npz"), part: value}
    np.savez(bundle / "projection.npz", **{name: array for name, array in parts.items() if array is not None})
    rehash(bundle, "projection.npz")
    with pytest.raises(BundleError, match=r"projection\.npz"):
        _ = Bundle(bundle).projection


def loop(file: h5py.File) -> None:
    file["descriptors"], file["ids"] = h5py.SoftLink("/ids"), h5py.SoftLink("/descriptors")


def external_link(file: h5py.File) -> None:
    file["descriptors"], file["ids"] = h5py.ExternalLink("other.h5", "/descriptors"), IDS


def through_a_group(file: h5py.File) -> None:
    file["other"], file["ids"] = h5py.ExternalLink("other.h5", "/"), IDS
    file["descriptors"] = h5py.SoftLink("/other/descriptors")


def external_data(file: h5py.File) -> None:
    file.create_dataset("descriptors", (6, 4), np.float32, external=[("rows.bin", 0, 96)])
    file["ids"] = IDS


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((6, 4), np.float32)
    layout[:] = h5py.VirtualSource("missing.h5", "descriptors", (6, 4))
    file.create_virtual_dataset("descriptors", layout)
    file["ids"] = IDS


def never_written(file: h5py.File) -> None:
    file.create_dataset("descriptors", (6, 4), np.float32)
    file["ids"] = IDS


def partly_written(file: h5py.File) -> None:
    file.create_dataset("descriptors", (6, 4), np.float32, chunks=(2, 4))[:2] = 1
    file["ids"] = IDS


def enormous(file: h5py.File) -> None:
    file.create_dataset("descriptors", (10**12, 4), np.float32, chunks=(1024, 4))
    file.create_dataset("ids", (10**12,), h5py.string_dtype(), chunks=(1024,))


def no_shape(file: h5py.File) -> None:
    file["descriptors"], file["ids"] = h5py.Empty("f4"), IDS


def zero_bytes(file: h5py.File) -> None:
    file["descriptors"], file["ids"] = ROWS, np.array([b"a\0b", *[b"%d" % i for i in range(5)]], "S4")


def numbers_with_fractions(file: h5py.File) -> None:
    file["descriptors"], file["ids"] = ROWS, np.arange(6) / 2


def groups(file: h5py.File) -> None:
    file.create_group("descriptors")
    file["ids"] = IDS


ODD: list[Callable[[h5py.File], None]] = [
    loop,
    external_link,
    through_a_group,
    external_data,
    virtual,
    never_written,
    partly_written,
    enormous,
    no_shape,
    zero_bytes,
    numbers_with_fractions,
    groups,
]


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
def test_files_that_are_not_what_they_seem(tmp_path: Path, make: Callable[[h5py.File], None]) -> None:
    descriptor_file(tmp_path / "other.h5")
    (tmp_path / "rows.bin").write_bytes(ROWS.tobytes())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    with pytest.raises(StoreError, match=r"a\.h5"):
        open_descriptors(tmp_path / "a.h5")
    with pytest.raises(StoreError, match=r"a\.h5"):
        search(tmp_path / "other.h5", tmp_path / "a.h5")
    with pytest.raises(StoreError, match=r"a\.h5"):
        write_submission(tmp_path / "other.h5", tmp_path / "a.h5", tmp_path / "s.h5")
    check_submission(tmp_path / "a.h5")


def test_a_file_that_another_program_changed_in_place(tmp_path: Path) -> None:
    path = descriptor_file(tmp_path / "a.h5")
    data = path.read_bytes()
    place = data.index(ROWS.tobytes())
    path.write_bytes(data[:place] + b"\1\2\3\4" + data[place + 4 :])
    with pytest.raises(StoreError, match="has changed since it was written"):
        open_descriptors(path)
    path.write_bytes(data)
    with h5py.File(path, "r+") as file:  # by way of HDF5, which cuts the checksum off: another writer's file
        del file["descriptors"]
        file["descriptors"] = ROWS * 2
    with open_descriptors(path) as file:
        assert (file.descriptors[:] == ROWS * 2).all()
