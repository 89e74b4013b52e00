"""The lock of the one writer: held on a file of the folder, and gone with the process that held it."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from ..errors import CollectionError

FILE_NAME = "lock"


class WriterLock:
    """Held from the moment it is made until ``release``. Raises: CollectionError while another holds it; OSError."""

    def __init__(self, folder: Path) -> None:
        self._file = os.fdopen(os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._file.read(32).decode(errors="replace").strip()
            self._file.close()
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            by = f" by process {holder}" if holder else ""
            raise CollectionError(f"{folder}: is being changed{by}; try again when that has ended") from None
        with suppress(OSError):  # on a full disk the lock is one without a name
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n".encode())

    def release(self) -> None:
        self._file.close()
