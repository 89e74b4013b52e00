"""The catalogue: an SQLite file that says which rows of the segments count, and for which reference.

Write-ahead log and full synchronisation: what a transaction has committed survives a kill and a power cut. What is read is
compared with its seal, so that damage ends in an error and never in another answer.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CollectionError
from .audit import AuditEntry, write_entry
from .connection import connect
from .records import BlobRecord, Record, Segment, behind, property_seal
from .schema import migrate, read_format

FILE_NAME = "catalogue.sqlite"
_COLUMNS = ", ".join(Record._fields)
_RECORD = f"SELECT {_COLUMNS}, seal FROM reference"
_AT_A_TIME = 500
_BLOB = f"SELECT {', '.join(BlobRecord._fields)} FROM blob"


class Catalogue:
    """One connection. Everything but the transactions themselves belongs within ``reading`` or ``changing``.

    Raises: CollectionError for what is no catalogue, is damaged, or of a newer format; sqlite3.Error.
    """

    def __init__(self, path: Path, *, write: bool, name: str = FILE_NAME) -> None:
        self.path = path
        self.entry: AuditEntry | None = None
        """What the next change is to leave in the audit log."""
        self._connection = connect(path / name, write=write)

    @property
    def connection(self) -> sqlite3.Connection:
        """For tables that are looked after elsewhere."""
        return self._connection

    def close(self) -> None:
        self._connection.close()

    def format(self) -> int:
        """The format number; 0 where the collection was never finished being made."""
        return read_format(self._connection, self.path)

    def migrate(self, properties: Mapping[str, Any] | None = None) -> None:
        """Make the tables, or bring those of an older format to today's; all of it or nothing."""
        (reader,) = self._connection.execute("PRAGMA query_only").fetchone()
        self._connection.execute("PRAGMA query_only = OFF")
        self._connection.execute("PRAGMA journal_mode = WAL")
        with self.changing():
            migrate(self._connection, self.format())
            self.set_properties(properties or {})
        self._connection.execute(f"PRAGMA query_only = {reader}")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read inside is of one moment."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    @contextmanager
    def changing(self, entry: AuditEntry | None = None) -> Iterator[None]:
        """One transaction: all that is written inside is on the disk when it ends, or none of it. entry: for the audit log."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            entry, self.entry = entry or self.entry, None
            if entry is not None:
                write_entry(self._connection, entry)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def fold(self) -> None:
        """Bring the write-ahead log into the file, so that nothing of what was deleted stays in it."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def copy_to(self, file: Path) -> None:
        """Write the catalogue as it is at this moment to a new file."""
        target = sqlite3.connect(file)
        try:
            self._connection.backup(target)
        finally:
            target.close()

    def damage(self) -> list[str]:
        """What SQLite finds wrong with its own file."""
        found = [line for (line,) in self._connection.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def properties(self, only: str | None = None) -> dict[str, Any]:
        """All of them, or the one of a name where it is there."""
        found = {}
        where, values = ("", ()) if only is None else ("WHERE name = ?", (only,))
        for name, value, seal in self._connection.execute(f"SELECT name, value, seal FROM property {where}", values):
            if property_seal(name, value) != seal:
                raise self._damaged(f"the property {name!r}")
            found[name] = json.loads(value)
        return found

    def set_properties(self, values: Mapping[str, Any]) -> None:
        rows = [(name, json.dumps(value, ensure_ascii=False, sort_keys=True)) for name, value in values.items()]
        sealed = [(name, value, property_seal(name, value)) for name, value in rows]
        self._connection.executemany("INSERT OR REPLACE INTO property VALUES (?, ?, ?)", sealed)

    def segments(self) -> list[Segment]:
        """All segment files, in the order of their numbers."""
        found, seals = [], 0
        rows = self._connection.execute("SELECT number, kind, length, live, seal FROM segment ORDER BY number")
        for *values, seal in rows:
            segment = Segment(*values)
            if segment.seal() != seal:
                raise self._damaged(f"segment {segment.number}")
            found.append(segment)
            seals += seal
        self._check_total("segment", len(found), seals)
        return found

    def save_segments(self, segments: Iterable[Segment]) -> None:
        """Let these be the segments."""
        rows = [(*segment, segment.seal()) for segment in segments]
        self._connection.execute("DELETE FROM segment")
        self._connection.executemany("INSERT INTO segment VALUES (?, ?, ?, ?, ?)", rows)
        following = max([self.next_number("segment"), *(row[0] + 1 for row in rows)])
        values = (len(rows), sum(row[-1] for row in rows), following)
        self._connection.execute("UPDATE total SET rows = ?, seals = ?, next = ? WHERE name = 'segment'", values)

    def next_number(self, name: str) -> int:
        """The first number that no segment, or no reference, has ever had."""
        return self._total(name)[2]

    def count(self) -> int:
        """How many references there are."""
        return self._total("reference")[0]

    def records(self) -> Iterator[Record]:
        """All references in the order of their ids (by code point); the last step makes sure that none was missing."""
        count = seals = 0
        for row in self._connection.execute(f"{_RECORD} ORDER BY id"):
            yield self._record(row)
            count += 1
            seals += row[-1]
        self._check_total("reference", count, seals)

    def page(self, after: str | None, limit: int, prefix: str = "") -> list[Record]:
        """The next ``limit`` references behind an id, of those whose ids begin with a prefix."""
        bounds = [(text, sign) for text, sign in ((after, ">"), (prefix, ">="), (behind(prefix), "<")) if text]
        where = " AND ".join(f"id {sign} ?" for _, sign in bounds) or "TRUE"
        return list(self._where(f"{where} ORDER BY id LIMIT ?", *(text for text, _ in bounds), limit))

    def same_bytes(self, sha256: str, most: int) -> list[str]:
        """The first ids, ``most`` of them, of references whose bytes have this sha256."""
        return [record.id for record in self._where("sha256 = ? ORDER BY id LIMIT ?", sha256, most)]

    def find(self, ids: Iterable[str]) -> Iterator[Record]:
        """Those of the ids that are there, in the order given."""
        for name in ids:
            yield from self._where("id = ?", name)

    def numbered(self, numbers: Sequence[int]) -> Iterator[Record]:
        """The references of those of the numbers that are there; ascending numbers come in their order."""
        for start in range(0, len(numbers), _AT_A_TIME):
            some = numbers[start : start + _AT_A_TIME]
            yield from self._where(f"number IN ({', '.join('?' * len(some))}) ORDER BY number", *some)

    def from_number(self, number: int, limit: int) -> Iterator[Record]:
        """The first ``limit`` references from a number on, in the order of their numbers."""
        return self._where("number >= ? ORDER BY number LIMIT ?", number, limit)

    def records_in(self, segment: int) -> list[Record]:
        """The references whose rows are in a segment, in the order of the rows."""
        return list(self._where("segment = ? ORDER BY row", segment))

    def insert(self, records: Sequence[Record], blobs: Sequence[BlobRecord]) -> None:
        rows = [(*record, record.seal()) for record in records]
        places = ", ".join("?" * len(Record._fields))
        self._connection.executemany(f"INSERT INTO reference ({_COLUMNS}, seal) VALUES ({places}, ?)", rows)
        self._connection.executemany("INSERT INTO blob VALUES (?, ?, ?, ?, ?, ?, ?)", blobs)
        change = (len(rows), sum(row[-1] for row in rows), max((row[0] + 1 for row in rows), default=0))
        self._connection.execute(
            "UPDATE total SET rows = rows + ?, seals = seals + ?, next = max(next, ?) WHERE name = 'reference'", change
        )

    def delete(self, records: Sequence[Record]) -> None:
        """Forget references, their blobs, and what was to be decided about them."""
        if not records:
            return
        numbers = [(record.number,) for record in records]
        self._connection.executemany("DELETE FROM review WHERE owner = ? AND decision = ''", numbers)
        self._connection.executemany("DELETE FROM blob WHERE reference = ?", numbers)
        self._connection.executemany("DELETE FROM reference WHERE number = ?", numbers)
        change = (len(records), sum(record.seal() for record in records))
        self._connection.execute("UPDATE total SET rows = rows - ?, seals = seals - ? WHERE name = 'reference'", change)

    def move(self, places: Iterable[tuple[int, int, int]]) -> None:
        """(segment, row, number of the reference): rows that lie elsewhere now."""
        self._connection.executemany("UPDATE reference SET segment = ?, row = ? WHERE number = ?", places)

    def set_metadata(self, record: Record, metadata: str) -> None:
        changed = record._replace(metadata=metadata)
        values = (metadata, changed.seal(), record.number)
        self._connection.execute("UPDATE reference SET metadata = ?, seal = ? WHERE number = ?", values)
        difference = changed.seal() - record.seal()
        self._connection.execute("UPDATE total SET seals = seals + ? WHERE name = 'reference'", (difference,))

    def blob_of(self, number: int, kind: str) -> BlobRecord | None:
        row = self._connection.execute(f"{_BLOB} WHERE reference = ? AND kind = ?", (number, kind)).fetchone()
        return None if row is None else BlobRecord(*row)

    def blobs_of(self, number: int) -> list[BlobRecord]:
        rows = self._connection.execute(f"{_BLOB} WHERE reference = ? ORDER BY kind", (number,))
        return [BlobRecord(*row) for row in rows]

    def blobs(self) -> Iterator[BlobRecord]:
        return (BlobRecord(*row) for row in self._connection.execute(f"{_BLOB} ORDER BY reference, kind"))

    def blob_table(self, kind: str) -> NDArray[np.int64]:
        """All blobs of a kind, int64 [M, 6] in the order of the references' numbers: number, version, segment, offset, length,
        checksum."""
        columns = "reference, version, segment, offset, length, checksum"
        rows = self._connection.execute(f"SELECT {columns} FROM blob WHERE kind = ? ORDER BY reference", (kind,))
        try:
            return np.fromiter(chain.from_iterable(rows), np.int64).reshape(-1, 6)
        except (TypeError, ValueError, OverflowError):  # something else than whole numbers
            raise self._damaged(f"the places of its {kind}") from None

    def blobs_in(self, segment: int) -> list[BlobRecord]:
        """The blobs in a segment, in the order of their places."""
        rows = self._connection.execute(f"{_BLOB} WHERE segment = ? ORDER BY offset", (segment,))
        return [BlobRecord(*row) for row in rows]

    def move_blobs(self, places: Iterable[tuple[int, int, int, str]]) -> None:
        """(segment, offset, number of the reference, kind): blobs that lie elsewhere now."""
        self._connection.executemany("UPDATE blob SET segment = ?, offset = ? WHERE reference = ? AND kind = ?", places)

    def _where(self, condition: str, *values: object) -> Iterator[Record]:
        return (self._record(row) for row in self._connection.execute(f"{_RECORD} WHERE {condition}", values))

    def _record(self, row: tuple[Any, ...]) -> Record:
        record = Record(*row[:-1])
        if record.seal() != row[-1]:
            raise self._damaged(f"what it says of the reference {record.id!r}")
        return record

    def state(self) -> tuple[int, int, int]:
        """Of the references: how many, the sum of their seals, and the next number."""
        return self._total("reference")

    def _total(self, name: str) -> tuple[int, int, int]:
        row = self._connection.execute("SELECT rows, seals, next FROM total WHERE name = ?", (name,)).fetchone()
        if row is None or not all(isinstance(value, int) for value in row):
            raise self._damaged(f"the total of its {name}s")
        return row[0], row[1], row[2]

    def _check_total(self, name: str, count: int, seals: int) -> None:
        expected = self._total(name)
        if (count, seals) != expected[:2]:
            raise self._damaged(f"{name}s have changed or gone: {count} are there, {expected[0]} should be")

    def _damaged(self, what: str) -> CollectionError:
        return CollectionError(f"{self.path}: its catalogue is damaged: {what}; restore a backup")
