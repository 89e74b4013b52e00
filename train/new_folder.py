"""A folder that is whole or not there."""

import fcntl
import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from copytrace.engine import StoreError
from copytrace.engine.store.atomic import flush, reason

_MARK = ".partial"


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder``, which becomes it at the end and is removed after an error.

    What a killed process left beside it is removed; what a running one is writing there is not: the first to end wins.

    Raises: StoreError, when something of that name exists already or the folder cannot be written.
    """
    folder = folder.absolute()
    _check_free(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        beside, lock = _locked_folder(folder)
        try:
            yield beside
            for path in (*beside.rglob("*"), beside):
                flush(path)
            _check_free(folder)
            beside.rename(folder)
            flush(folder.parent)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            os.close(lock)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {reason(error)}") from error


def _check_free(folder: Path) -> None:
    if os.path.lexists(folder):
        raise StoreError(f"{folder}: is there already; give a new folder")


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
