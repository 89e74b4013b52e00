"""Folders that are whole or not there: written beside, flushed, renamed."""

import ctypes
import errno
import fcntl
import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreError
from ..outputs import resolved
from .atomic import flush, reason

_MARK = ".partial"
_HERE, _RENAME_EXCHANGE = -100, 2  # of Linux: a path from where the process is; see renameat2(2)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder``, which becomes it at the end and is removed after an error.

    What a killed process left beside it is removed; what a running one is writing there is not: the first to end wins.
    Raises: StoreError, when something of that name exists already or the folder cannot be written.
    """
    folder = folder.absolute()
    _check_free(folder)
    with _beside(folder) as beside:
        yield beside
        _flush_all(beside)
        _check_free(folder)
        beside.rename(folder)
        flush(folder.parent)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder``, which takes its place at the end and is removed after an error.

    Of two that are written at the same time each is whole, and the later one stays. Where the system can exchange two names
    in one step (Linux, on its own file systems), there is no moment without the folder.
    Raises: StoreError when the folder cannot be written, and for a file of that name.
    """
    folder = resolved(folder)  # a link stays a link, the folder it leads to is replaced
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder}: is a file, not a folder; give another name")
    with _beside(folder) as beside:
        yield beside
        _flush_all(beside)
        _take_place(beside, folder)
        flush(folder.parent)


def _take_place(beside: Path, folder: Path) -> None:
    while True:
        try:
            if folder.exists():
                _exchange(beside, folder)
            else:
                beside.rename(folder)
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT):  # another came or went just then
                raise


def _exchange(beside: Path, folder: Path) -> None:
    """Swap two names; what had the second one may also have gone afterwards."""
    system = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(beside), os.fsencode(folder)
    if hasattr(system, "renameat2") and system.renameat2(_HERE, names[0], _HERE, names[1], _RENAME_EXCHANGE) == 0:
        return
    old = beside.with_suffix(".old")
    folder.rename(old)
    try:
        beside.rename(folder)
    except OSError:
        if folder.exists():  # another came first
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A new folder of its own name beside one, removed at the end where it is still there. Raises: StoreError for OSError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        beside, lock = _locked_folder(folder)
        try:
            yield beside
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            os.close(lock)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {reason(error)}") from error


def _check_free(folder: Path) -> None:
    if os.path.lexists(folder):
        raise StoreError(f"{folder}: is there already; give a new folder")


def _flush_all(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        flush(path)


def _locked_folder(folder: Path) -> tuple[Path, int]:
    """A new folder beside, and the open descriptor whose lock says that its process is alive."""
    beside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}{_MARK}")
    beside.mkdir()
    lock = os.open(beside, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not beside.exists():  # another process took it for an abandoned one before it was locked
        os.close(lock)
        return _locked_folder(folder)
    return beside, lock


def _remove_abandoned(folder: Path) -> None:
    """Remove the folders beside whose lock can be had: nobody writes them any more."""
    for path in folder.parent.glob(f".{glob.escape(folder.name)}.{'[0-9a-f]' * 12}{_MARK}"):
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
