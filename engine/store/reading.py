"""HDF5 files of any writer, read without trust: what is damaged or lies elsewhere is one error, whatever HDF5 makes of it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import CopytraceError, StoreError
from .atomic import reason
from .checksum import check_sum


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading. Raises: StoreError when it is missing, not HDF5, or not as it was written."""
    with reading(path):
        if path.exists() and not path.is_file():
            raise StoreError(f"{path}: is not a regular file")
        try:
            check_sum(path)  # before HDF5 sees it, which a damaged file may keep busy for ever
            return h5py.File(path, "r", locking=False)  # it is replaced whole, and locked for a moment yet
        except FileNotFoundError:
            raise StoreError(f"{path}: no such file") from None
        except OSError as error:
            raise StoreError(f"{path}: not a readable HDF5 file: {reason(error)}") from None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever HDF5 raises in a damaged file (nearly everything there is), as a StoreError."""
    try:
        yield
    except CopytraceError:
        raise
    except MemoryError:
        raise StoreError(f"{path}: damaged, or larger than the memory of this machine") from None
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(f"{path}: damaged: {text}") from None


def find_dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset | None:
    """The dataset of that name, or None where there is none.

    Raises: StoreError when it is not whole in this file: a link to another file, data kept in others, or never written.
    """
    with reading(path):
        links = file.id.links
        if not links.exists(name.encode()):
            return None
        if links.get_info(name.encode()).type not in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT):
            raise StoreError(f"{path}: {name!r} is a link to another file, which is not followed")
        found = file[name]
        if not isinstance(found, h5py.Dataset):
            return None
        if found.file.id != file.id and found.file.filename != file.filename:
            raise StoreError(f"{path}: {name!r} is a link to another file, which is not followed")
        if found.is_virtual or found.external:
            raise StoreError(f"{path}: the data of {name!r} are kept in other files, which are not followed")
        if found.shape is None:
            raise StoreError(f"{path}: {name!r} is empty, without a shape")
        return found


def check_written(dataset: h5py.Dataset, path: Path, name: str) -> None:
    """Make sure that every part has a place in the file; HDF5 fills up what is missing without a word. Raises: StoreError."""
    with reading(path):
        if dataset.chunks is None:
            whole = not dataset.size or dataset.id.get_storage_size() > 0
        else:
            chunks = [-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
            whole = dataset.id.get_num_chunks() >= math.prod(chunks)
    if not whole:
        raise StoreError(f"{path}: {name!r} was declared, but not all of it was written")


class Rows:
    """Rows of an open file [N, D], sliced like an array and read piece by piece.

    Raises: StoreError where they cannot be read.
    """

    def __init__(self, dataset: h5py.Dataset, path: Path) -> None:
        self._dataset = dataset
        self._path = path
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        with reading(self._path):
            return np.asarray(self._dataset[rows])

    def take(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at these places, each there once, in any order; HDF5 itself reads ascending ones only."""
        order = np.argsort(places)
        first, last = int(places[order[0]]), int(places[order[-1]])
        if last - first + 1 == len(places):
            return self[first : last + 1][places - first]
        ascending = self[places[order]]
        rows = np.empty_like(ascending)
        rows[order] = ascending
        return rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)


def read_texts(dataset: h5py.Dataset, path: Path, name: str) -> list[str]:
    """Ids [N], text in UTF-8 or whole numbers. Raises: StoreError for anything else, and for text with a zero byte in it."""
    with reading(path):
        values = dataset[:]
        if values.dtype.kind in "iu":
            return [str(value) for value in values.tolist()]
        texts = values.tolist()
        if values.dtype.kind not in "OSU" or not all(isinstance(text, bytes | str) for text in texts):
            raise StoreError(f"{path}: {name!r} must be text or whole numbers, not {dataset.dtype}")
        try:
            decoded = [text.decode("utf-8") if isinstance(text, bytes) else text for text in texts]
        except UnicodeDecodeError as error:
            raise StoreError(f"{path}: {name!r} is not UTF-8: {error}") from None
        if any("\0" in text for text in decoded):
            raise StoreError(f"{path}: {name!r} has text with a zero byte in it")
        return decoded


def read_attributes_of(*objects: h5py.HLObject, path: Path) -> dict[str, object]:
    """The attributes of one or several objects; the later ones go before."""
    with reading(path):
        return {name: value for thing in objects for name, value in thing.attrs.items()}
