"""The folder of a run's parts: held by one driver at a time, and shown to be the same one on every machine."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import ClusterError, StoreError
from ..store.atomic import reason

_DRIVER = ".driver"


@contextmanager
def held(folder: Path) -> Iterator[str]:
    """Make the folder where it is not there, and hold it; what is written in it for the workers to see.

    Raises: StoreError when it cannot be made or written to, or another driver holds it.
    """
    path = folder / _DRIVER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made a folder of parts: {reason(error)}") from None
    descriptor = _locked(path)
    try:
        token = secrets.token_hex(16)
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, token.encode())
            os.fsync(descriptor)  # before other machines look
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {reason(error)}") from None
        yield token
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        with suppress(OSError):  # unless there is something in it
            folder.rmdir()


def _locked(path: Path) -> int:
    """A file's descriptor, held by this process alone. Raises: StoreError."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise StoreError(f"{path.parent}: cannot be made a folder of parts: {reason(error)}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StoreError(f"{path.parent}: another run is filling it") from None
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # the run that held it has just ended and removed it


def check_shared(folder: Path, token: str, place: str) -> None:
    """Make sure that this machine sees the folder that the driver holds. Raises: ClusterError."""
    try:
        seen = (folder / _DRIVER).read_text()
    except (OSError, UnicodeDecodeError):
        seen = ""
    if seen != token:
        raise ClusterError(f"{place} does not see {folder} as the driver does; it must be one folder for all machines")
