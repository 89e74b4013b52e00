"""A way into a collection for what has no part in its segments: no writer's lock is needed, so it works beside a service."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Self

from .audit import AuditEntry
from .catalogue import Catalogue
from .collection import Collection
from .errors import reporting
from .reading import PathLike


class OpenCatalogue:
    """The catalogue of a collection. Safe to use from several threads, one after the other.

    Raises: CollectionError for what is no collection, is damaged, or of a newer format; an older one is brought to today's.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        Collection.open(self.path).close()  # refuses what is no collection, and brings an older format to today's
        with reporting(self.path):
            self._catalogue = Catalogue(self.path, write=True)
        self._guard = RLock()

    def close(self) -> None:
        with self._guard:
            self._catalogue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def version(self) -> int:
        """Another number after anyone else has changed the catalogue."""
        with self._guard, reporting(self.path):
            return int(self._execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._guard, reporting(self.path), self._catalogue.reading():
            yield

    @contextmanager
    def _changing(self, entry: AuditEntry | None = None) -> Iterator[None]:
        with self._guard, reporting(self.path), self._catalogue.changing(entry):
            yield

    def _execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        return self._catalogue.connection.execute(statement, values)
