"""Making a catalogue, and bringing one of an older format to today's."""

from pathlib import Path
from typing import Any

from ..errors import CollectionError
from .catalogue import FILE_NAME, Catalogue
from .lock import WriterLock
from .schema import MIGRATIONS


def make_catalogue(path: Path, properties: dict[str, Any]) -> None:
    (path / FILE_NAME).touch()
    catalogue = Catalogue(path, write=True)
    try:
        catalogue.migrate(properties)
    finally:
        catalogue.close()


def bring_up_to_date(path: Path, catalogue: Catalogue, lock: WriterLock | None) -> None:
    """Raises: CollectionError when it was never finished, is newer, or is older and another program holds it."""
    number = catalogue.format()
    if number == 0:
        raise CollectionError(f"{path}: is no collection: the program that made it was stopped before it was whole")
    if number < len(MIGRATIONS):
        own = WriterLock(path) if lock is None else None
        try:
            catalogue.migrate()
        finally:
            if own is not None:
                own.release()
