"""The folder of a collection: what is in it, and how one is begun."""

from pathlib import Path
from typing import Any

from ..errors import CollectionError
from .catalogue import FILE_NAME as CATALOGUE
from .catalogue import Catalogue
from .lock import FILE_NAME as LOCK
from .segments import is_segment_name

_OWN = {LOCK, *(CATALOGUE + end for end in ("", "-wal", "-shm", "-journal", ".copy", ".copy-wal", ".copy-shm"))}


def is_collection(path: Path) -> bool:
    """Whether there is a collection, or what looks like one, at ``path``."""
    return (path / CATALOGUE).is_file()


def check_there(path: Path) -> None:
    """Raises: CollectionError unless there is a catalogue."""
    if is_collection(path):
        return
    if path.is_dir():
        raise CollectionError(f"{path}: is no collection: it has no {CATALOGUE}")
    raise CollectionError(f"{path}: " + ("is no collection: it is a file" if path.exists() else "no such collection"))


def check_free(path: Path) -> None:
    """Raises: CollectionError unless nothing is there, or what a program left that was killed while it made a collection."""
    if path.is_dir():
        strangers = sorted(entry.name for entry in path.iterdir() if not _is_own(entry.name))
        if strangers:
            raise CollectionError(f"{path}: is a folder with other files, such as {strangers[0]}; give another name")
        if is_collection(path) and _is_finished(path):
            raise CollectionError(f"{path}: there is a collection already")
    elif path.exists() or path.is_symlink():
        raise CollectionError(f"{path}: is there, and is no folder; give another name")
    elif not path.parent.is_dir():
        raise CollectionError(f"{path}: the folder {path.parent} does not exist")


def clear(path: Path) -> None:
    """Remove all that belongs to a collection but the lock, which the caller holds. Raises: OSError."""
    for entry in path.iterdir():
        if _is_own(entry.name) and entry.name != LOCK:
            entry.unlink()


def make_catalogue(path: Path, properties: dict[str, Any]) -> None:
    """A catalogue of an empty collection."""
    (path / CATALOGUE).touch()
    catalogue = Catalogue(path, write=True)
    try:
        catalogue.migrate(properties)
    finally:
        catalogue.close()


def _is_own(name: str) -> bool:
    return name in _OWN or is_segment_name(name)


def _is_finished(path: Path) -> bool:
    catalogue = Catalogue(path, write=False)
    try:
        return catalogue.format() > 0
    finally:
        catalogue.close()
