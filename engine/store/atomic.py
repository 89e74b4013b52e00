"""Files that are whole or not there: written beside, flushed, renamed."""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreError
from ..outputs import check_place, resolved


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success flush it and rename it, on any error remove it.

    The temporary file is there already, empty, under a name of its own: of two programs that write one file at the same time
    each ends with a whole one, and the later one stays. What a killed program left behind is removed by the next.
    Raises: StoreError for what the system reports (disk full, read-only folder, ...), and for a path that is no place for a
    file.
    """
    check_place(path)
    path = resolved(path)  # a link stays a link, the file it leads to is replaced
    try:
        with _temporary_beside(path) as temporary:
            yield temporary
            flush(temporary)
            temporary.replace(path)
            flush(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {reason(error)}") from error


@contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    """A new file of its own name, locked until the block ends, which tells others that its program is alive."""
    _remove_left_behind(path)
    temporary, descriptor = _create_locked(path)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)


def _create_locked(path: Path) -> tuple[Path, int]:
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        _lock(descriptor, fcntl.LOCK_EX)
        if temporary.exists():  # else it was taken for left behind in the moment before it was locked
            return temporary, descriptor
        os.close(descriptor)


def _remove_left_behind(path: Path) -> None:
    """Remove temporary files for ``path`` whose program has gone: those that nobody holds a lock on."""
    pattern = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{8}\.tmp")
    for name in os.listdir(path.parent):  # noqa: PTH208 - bare names, of what may be a very large folder
        if not pattern.fullmatch(name):
            continue
        left = path.with_name(name)
        try:
            descriptor = os.open(left, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue
        if _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
            left.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(descriptor: int, how: int) -> bool:
    """Whether the lock was got; never on file systems that have none, where nothing is then taken for left behind."""
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        return False
    return True


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
