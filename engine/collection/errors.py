"""What SQLite and the system report, as one line that names the collection."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import CollectionError

_FULL = "database or disk is full"


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Raises: CollectionError instead of what SQLite and the system raise."""
    try:
        yield
    except sqlite3.Error as error:
        raise CollectionError(f"{path}: {_sqlite_reason(error)}") from error
    except UnicodeDecodeError:  # sqlite3 puts the damaged text into its own message
        raise CollectionError(f"{path}: its catalogue is damaged (text that is not UTF-8); restore a backup") from None
    except OSError as error:
        raise CollectionError(f"{path}: {error.strerror or error}") from error


def _sqlite_reason(error: sqlite3.Error) -> str:
    text = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if text == _FULL:
        return "cannot be written: No space left on device"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "decode to UTF-8" in text:
        return f"its catalogue is damaged ({text}); restore a backup"
    if code == sqlite3.SQLITE_IOERR:
        return f"cannot be read or written: {text} (is the disk full?)"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "its catalogue is held by another program"
    return f"its catalogue cannot be used: {text}"
