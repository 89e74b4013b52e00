"""Descriptor files: HDF5 with ``descriptors`` float32 [N, D], ``ids`` [N], and ``failed`` and ``damaged`` [(id, reason)]."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ..arguments import file_path, one_of
from ..errors import StoreError
from .hdf5 import new_hdf5
from .reading import Rows, check_written, find_dataset, open_hdf5, read_attributes_of, read_texts, reading

_TEXT = h5py.string_dtype("utf-8")
_BYTES = h5py.vlen_dtype(np.uint8)
_REASONS = np.dtype([("id", _TEXT), ("reason", _TEXT)])
_HOLDERS = np.dtype([("file", _TEXT), ("hash", _TEXT)])
_SLICE_ROWS = 1 << 15
VIEWS = "views"
"""The dataset [N] of the rows' labels."""
HOLDERS = "holders"
"""The dataset of a part's files that hold images of other parts, too, with their hashes."""
BlobParts = tuple[int, Iterable[Sequence[bytes]]]
"""The version of the form that the bytes have, and consecutive parts of them; none where there is nothing."""


def write_descriptors(
    path: Path,
    parts: Iterable[tuple[list[str], NDArray[np.float32]]],
    shape: tuple[int, int],
    failed: list[tuple[str, str]],
    attributes: Mapping[str, str | int],
    damaged: Sequence[tuple[str, str]] = (),
    columns: Mapping[str, Sequence[str] | NDArray[np.int64]] | None = None,
    blobs: Mapping[str, BlobParts] | None = None,
    holders: Mapping[str, str] | None = None,
) -> None:
    """Write a descriptor file whole or not at all.

    parts: consecutive (ids, rows [n, D]); shape: (N, D) of all of them together. failed: (id, reason) of images without a row;
    damaged: of those that are not what they were, with a row or without. columns: more datasets [N], text or int64. blobs:
    datasets [N] of bytes. holders: of a part of a source, the hashes of the files that hold its images and others.
    Raises: StoreError.
    """
    with new_hdf5(path) as file:
        descriptors = file.create_dataset("descriptors", shape, np.float32)
        ids = file.create_dataset("ids", (shape[0],), _TEXT)
        start = 0
        for names, rows in _large_slices(parts):
            descriptors[start : start + len(rows)] = rows
            ids[start : start + len(rows)] = names
            start += len(rows)
        file.create_dataset("failed", data=np.array(failed, _REASONS))
        file.create_dataset("damaged", data=np.array(list(damaged), _REASONS))
        if holders:
            file.create_dataset(HOLDERS, data=np.array(list(holders.items()), _HOLDERS))
        for name, values in (columns or {}).items():
            kind = np.int64 if isinstance(values, np.ndarray) else _TEXT
            file.create_dataset(name, (shape[0],), kind, data=values)
        for name, (version, some) in (blobs or {}).items():
            _write_blobs(file.create_dataset(name, (shape[0],), _BYTES), version, some)
        file.attrs.update(attributes)


def _write_blobs(dataset: h5py.Dataset, version: int, parts: Iterable[Sequence[bytes]]) -> None:
    dataset.attrs["version"] = version
    start = 0
    for part in parts:
        values = [np.frombuffer(data, np.uint8) for data in part]
        if len({len(value) for value in values}) == 1:
            dataset[start : start + len(part)] = np.stack(values)  # h5py takes these for a table, and wants it as one
        else:
            dataset[start : start + len(part)] = np.array(values, object)
        start += len(part)


def _large_slices(
    parts: Iterable[tuple[list[str], NDArray[np.float32]]],
) -> Iterable[tuple[list[str], NDArray[np.float32]]]:
    """Slices of exactly ``_SLICE_ROWS`` rows, and the rest: HDF5 is called a few times with much.

    However the parts are cut: HDF5 lays text out slice by slice, and a run that was killed ends with the same bytes.
    """
    names: list[str] = []
    rows: list[NDArray[np.float32]] = []
    for part_names, part_rows in parts:
        names += part_names
        rows.append(part_rows)
        while len(names) >= _SLICE_ROWS:
            joined = rows[0] if len(rows) == 1 else np.concatenate(rows)
            yield names[:_SLICE_ROWS], joined[:_SLICE_ROWS]
            names, rows = names[_SLICE_ROWS:], [joined[_SLICE_ROWS:]]
    if names:
        yield names, np.concatenate(rows)


class DescriptorFile:
    """Descriptors and ids of one open HDF5 file. ``descriptors`` is sliced like an array and read piece by piece.

    views: the label of every row, where an image may have several; None where each has one.
    """

    def __init__(self, file: h5py.File, path: Path, rows_name: str, ids_name: str) -> None:
        self._file = file
        self.path = path
        rows, names = find_dataset(file, rows_name, path), find_dataset(file, ids_name, path)
        for name, dataset in ((rows_name, rows), (ids_name, names)):
            if dataset is None:
                with reading(path):
                    raise StoreError(f"{path}: no dataset {name!r}; it has {', '.join(sorted(file)) or 'none'}")
        assert rows is not None and names is not None
        check_written(rows, path, rows_name)
        check_written(names, path, ids_name)
        if rows.ndim != 2 or rows.dtype.kind != "f":
            raise StoreError(f"{path}: {rows_name!r} must be float [N, D], not {rows.dtype} of {rows.shape}")
        if names.shape != (len(rows),):
            raise StoreError(f"{path}: {len(rows)} rows in {rows_name!r}, but {ids_name!r} has shape {names.shape}")
        self.descriptors = Rows(rows, path)
        self.ids = read_texts(names, path, ids_name)
        self.attributes = read_attributes_of(file, rows, path=path)  # a submission's lie with its halves
        labels = self.column(VIEWS) if rows_name == "descriptors" else None
        self.views = labels if labels and isinstance(labels[0], str) else None

    def failed(self) -> list[tuple[str, str]]:
        """(id, reason) of every image that has no row."""
        return self._pairs("failed")

    def damaged(self) -> list[tuple[str, str]]:
        """(id, reason) of every image that is not what it was; those that were left out are among ``failed`` too."""
        return self._pairs("damaged")

    def holders(self) -> list[tuple[str, str]]:
        """(name, hash) of every file that holds some of a part's images."""
        return self._pairs(HOLDERS)

    def _pairs(self, name: str) -> list[tuple[str, str]]:
        dataset = find_dataset(self._file, name, self.path)
        if dataset is None:
            return []
        with reading(self.path):
            return [(image.decode(), why.decode()) for image, why in dataset[:].tolist()]

    def datasets(self) -> set[str]:
        """The names of all that the file holds."""
        with reading(self.path):
            return set(self._file)

    def column(self, name: str) -> list[str] | list[int] | None:
        """A dataset [N] of text or whole numbers beside the ids, None where there is none of that kind. Raises: StoreError."""
        dataset = find_dataset(self._file, name, self.path)
        if dataset is None or dataset.shape != (len(self.ids),) or dataset.dtype.kind not in "iuOSU":
            return None
        check_written(dataset, self.path, name)
        if dataset.dtype.kind not in "iu":
            return read_texts(dataset, self.path, name)
        with reading(self.path):
            numbers: list[int] = dataset[:].tolist()
            return numbers

    def blob_version(self, name: str) -> int | None:
        """The version of a dataset [N] of bytes, None where there is none of that kind. Raises: StoreError."""
        dataset = find_dataset(self._file, name, self.path)
        if dataset is None or dataset.shape != (len(self.ids),) or h5py.check_vlen_dtype(dataset.dtype) != np.uint8:
            return None
        with reading(self.path):
            return int(dataset.attrs["version"])

    def blobs(self, name: str, start: int, stop: int) -> list[bytes]:
        """Rows start..stop of a dataset of bytes that is there. Raises: StoreError."""
        with reading(self.path):
            return [bytes(value) for value in self._file[name][start:stop]]

    def __enter__(self) -> "DescriptorFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def refuse_views(*files: DescriptorFile, what: str) -> None:
    """Raises: StoreError for files with labelled rows, which ``what`` says why they are not taken."""
    for file in files:
        if file.views is not None:
            raise StoreError(f"{file.path}: holds views, several rows of an image; {what}")


def open_descriptors(path: str | os.PathLike[str], role: str = "reference") -> DescriptorFile:
    """Open a descriptor file, from any writer, or the half of a challenge submission that ``role`` names.

    Raises: StoreError when it is missing, not HDF5, or lacks what is needed; ValueError or TypeError for arguments that are
    not allowed.
    """
    path = file_path("path", path)
    one_of("role", role, ("reference", "query"))
    file = open_hdf5(path)
    try:
        if find_dataset(file, "descriptors", path) is None and find_dataset(file, role, path) is not None:
            return DescriptorFile(file, path, role, f"{role}_ids")
        return DescriptorFile(file, path, "descriptors", "ids")
    except BaseException:
        file.close()
        raise


def read_attributes(path: Path) -> dict[str, object] | None:
    """A file's attributes, or None when there is no readable HDF5 file."""
    try:
        with open_hdf5(path) as file:
            return read_attributes_of(file, path=path)
    except StoreError:
        return None
