"""HDF5 files written whole or not at all, on disks that may fill up."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from .atomic import replacing
from .checksum import append_sum


class _PatientFile(io.FileIO):
    """A file that remembers its first failed write and takes the rest for done.

    HDF5 cannot cope with a write that fails: closing the file fails too, and the process crashes when it ends. So it is told
    that all is well, and whoever closes the file asks for ``error``.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data)
        size = len(left)
        try:
            while left and self.error is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size) if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0


@contextmanager
def new_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to fill; it appears under its name, with a checksum, when the block ends without an error.

    Raises: StoreError for what the system reports (disk full, read-only folder, ...).
    """
    with replacing(path) as temporary:
        target = _PatientFile(temporary)
        try:
            with h5py.File(target, "w") as file:
                yield file
        finally:
            target.close()
            if target.error is not None:
                raise target.error
        append_sum(temporary)
