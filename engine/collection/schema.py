"""The catalogue's tables, and how a catalogue of an older format becomes one of today's."""

import sqlite3
from pathlib import Path

from ..errors import CollectionError

APPLICATION_ID = 0x43545246  # "CTRF"; tells our catalogues from other SQLite files

# One entry per format, never changed again once released: the statements that lead from the format before to it.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # What holds for the whole: dimension, space, recipe, thresholds, ... as JSON.
        "CREATE TABLE property (name TEXT PRIMARY KEY, value TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID",
        # Segment files: bytes that count (with the header), and of those the bytes that a live row or blob has.
        "CREATE TABLE segment (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, length INTEGER NOT NULL,"
        " live INTEGER NOT NULL, seal INTEGER NOT NULL)",
        # views and blobs: names joined by commas. segment and row: where the first of its rows is, the others follow it.
        # checksums: crc32 of each row, 4 bytes each.
        "CREATE TABLE reference (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, sha256 TEXT, size INTEGER,"
        " metadata TEXT NOT NULL, views TEXT NOT NULL, blobs TEXT NOT NULL, segment INTEGER NOT NULL,"
        " row INTEGER NOT NULL, checksums BLOB NOT NULL, seal INTEGER NOT NULL)",
        "CREATE TABLE blob (reference INTEGER NOT NULL, kind TEXT NOT NULL, version INTEGER NOT NULL,"
        " segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL, checksum INTEGER NOT NULL,"
        " PRIMARY KEY (reference, kind)) WITHOUT ROWID",
        # Of the two tables that must not lose a row unseen: the number of rows, the sum of their seals, and the next number,
        # for numbers are never given twice.
        "CREATE TABLE total (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, seals INTEGER NOT NULL, next INTEGER NOT NULL)"
        " WITHOUT ROWID",
        "INSERT INTO total VALUES ('reference', 0, 0, 1), ('segment', 0, 0, 1)",
    ),
    (
        # Keys to the service, by the sha256 of their text, and who changed what.
        "CREATE TABLE key (name TEXT NOT NULL, role TEXT NOT NULL, sha256 TEXT PRIMARY KEY, created TEXT NOT NULL,"
        " revoked TEXT NOT NULL, used TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE audit (number INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, who TEXT NOT NULL,"
        " action TEXT NOT NULL, what TEXT NOT NULL, seal INTEGER NOT NULL)",
        "CREATE INDEX reference_sha256 ON reference (sha256)",
    ),
    (
        # Pairs that people are to decide on, and what they decided ("" before). query: sha256 of the image's bytes. owner: the
        # number of the reference, which no other ever gets. descriptor: the query's row, float32.
        "CREATE TABLE review (number INTEGER PRIMARY KEY AUTOINCREMENT, created TEXT NOT NULL, query TEXT NOT NULL,"
        " name TEXT NOT NULL, reference TEXT NOT NULL, probability REAL NOT NULL, score REAL NOT NULL,"
        " evidence TEXT NOT NULL, decision TEXT NOT NULL, who TEXT NOT NULL, decided TEXT NOT NULL,"
        " owner INTEGER NOT NULL, thumbnail BLOB NOT NULL, descriptor BLOB NOT NULL, seal INTEGER NOT NULL,"
        " UNIQUE (query, owner))",
        "CREATE INDEX review_decision ON review (decision, number)",
        "CREATE INDEX review_owner ON review (owner)",
        # What a job found to be near-duplicates, by the numbers of the references, the nearest first.
        "CREATE TABLE duplicate (job TEXT NOT NULL, place INTEGER NOT NULL, first INTEGER NOT NULL, second INTEGER NOT NULL,"
        " distance REAL NOT NULL, seal INTEGER NOT NULL, PRIMARY KEY (job, place)) WITHOUT ROWID",
    ),
)


def read_format(connection: sqlite3.Connection, path: Path) -> int:
    """The format number; 0 where the collection was never finished being made.

    Raises: CollectionError for a file of another program, and for a format newer than this copytrace knows.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    if not application and not number and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return 0
    if application != APPLICATION_ID:
        raise CollectionError(f"{path}: is no collection: its catalogue is another program's")
    if number > len(MIGRATIONS):
        raise CollectionError(
            f"{path}: its format {number} is newer than this copytrace reads ({len(MIGRATIONS)}); update copytrace"
        )
    if number < 1:
        raise CollectionError(f"{path}: its catalogue is damaged (format {number}); restore a backup")
    return int(number)


def migrate(connection: sqlite3.Connection, number: int) -> None:
    """Bring a catalogue from a format to today's; call it within a transaction."""
    for statements in MIGRATIONS[number:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
