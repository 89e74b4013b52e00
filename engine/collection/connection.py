"""Connections to the catalogue's file."""

import sqlite3
from pathlib import Path

BUSY_SECONDS = 30.0


def connect(file: Path, write: bool) -> sqlite3.Connection:
    """A connection that never makes the file; a reader's cannot write."""
    uri = file.resolve().as_uri()
    connection = _open(f"{uri}?mode=rw")
    try:
        if write:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(
                "PRAGMA secure_delete = ON"
            )  # what is deleted is gone from the file, not only from lists
            return connection
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return connection
    except sqlite3.OperationalError:
        connection.close()
        if write or _log_bytes(file):
            raise
    # On a disk that cannot be written to there is no place for the log's index, and nothing can change either.
    return _open(f"{uri}?mode=ro&immutable=1")


def _open(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _log_bytes(file: Path) -> int:
    log = file.with_name(file.name + "-wal")
    return log.stat().st_size if log.exists() else 0
