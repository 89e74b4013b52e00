"""Files that are whole or not there: written beside, flushed, renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success flush it and rename it, on any error remove it.

    The temporary name is always the same, so that what a killed process left behind is replaced by the next.
    Raises: StoreError for what the system reports (disk full, read-only folder, ...), and for a path that is no place for a
    file.
    """
    path = path.resolve()  # a link stays a link, the file it leads to is replaced
    check_place(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        try:
            yield temporary
            flush(temporary)
            temporary.replace(path)
            flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {reason(error)}") from error


def check_place(path: Path) -> None:
    """Say before the work starts what would only show at its end.

    Raises: StoreError when a file cannot be at ``path``.
    """
    if path.is_dir():
        raise StoreError(f"{path}: is a folder; give a file name")
    if path.exists() and not path.is_file():
        raise StoreError(f"{path}: is not a regular file")
    if not path.parent.is_dir():
        raise StoreError(f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise StoreError(f"{path}: the folder {path.parent} cannot be written to")


def flush(path: Path) -> None:
    """Wait until a file's or a folder's contents are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason(error: OSError) -> str:
    """One line for an OSError; HDF5's have their text in several."""
    text = error.strerror or str(error)
    return text.splitlines()[0] if text else type(error).__name__
