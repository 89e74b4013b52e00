"""The audit log: who changed what, and when; written in the transaction of the change itself."""

import json
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..errors import CollectionError


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """who: the name of a key, or of what else made the change. what: JSON. time: UTC, ISO 8601."""

    who: str
    action: str
    what: dict[str, Any]
    time: str = field(default_factory=now)
    number: int = 0


def write_entry(connection: sqlite3.Connection, entry: AuditEntry) -> None:
    """Call it within a transaction."""
    values = (entry.time, entry.who, entry.action, json.dumps(entry.what, ensure_ascii=False, sort_keys=True))
    connection.execute(
        "INSERT INTO audit (time, who, action, what, seal) VALUES (?, ?, ?, ?, ?)", (*values, _seal(*values))
    )


def read_entries(connection: sqlite3.Connection, after: int = 0, limit: int = -1) -> Iterator[AuditEntry]:
    """Entries in their order, behind a number. Raises: CollectionError for one that is damaged."""
    rows = connection.execute(
        "SELECT number, time, who, action, what, seal FROM audit WHERE number > ? ORDER BY number LIMIT ?",
        (after, limit),
    )
    for number, *values, seal in rows:
        if _seal(*values) != seal:
            raise CollectionError(f"the audit log is damaged: entry {number}")
        time, who, action, what = values
        yield AuditEntry(who, action, json.loads(what), time, number)


def _seal(*values: str) -> int:
    return zlib.crc32("\0".join(values).encode())
