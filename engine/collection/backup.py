"""A consistent copy of a collection that others may be changing: segments first, the catalogue last."""

import os
import shutil
from pathlib import Path

from ..errors import CollectionError
from .catalogue import FILE_NAME, Catalogue
from .check import find_damage
from .folder import check_free, clear
from .lock import WriterLock
from .segments import SegmentFiles, flush_folder
from .snapshot import Snapshot, take_snapshot

COPY_NAME = FILE_NAME + ".copy"


def copy_collection(path: Path, catalogue: Catalogue, files: SegmentFiles, dimension: int, target: Path) -> None:
    """Raises: CollectionError, OSError; then there is no collection at ``target``."""
    if path.resolve() in (target.resolve(), *target.resolve().parents):
        raise CollectionError(f"{target}: is the collection itself, or within it; give another name")
    check_free(target)
    is_new = not target.exists()
    target.mkdir(exist_ok=True)
    lock = WriterLock(target)
    try:
        check_free(target)
        clear(target)
        copies = SegmentFiles(target, 4 * dimension)
        take_snapshot(path, catalogue, files, dimension, lambda snapshot: _copy(snapshot, catalogue, copies, target))
        damage = _damage(target, copies, dimension)
        if damage:
            raise CollectionError(f"the copy is damaged, and so may be the collection: {damage[0]}")
        (target / COPY_NAME).replace(target / FILE_NAME)
        flush_folder(target)
        flush_folder(target.absolute().parent)
    except BaseException:
        clear(target)
        if is_new:
            shutil.rmtree(target, ignore_errors=True)
        raise
    finally:
        lock.release()


def _copy(snapshot: Snapshot, catalogue: Catalogue, copies: SegmentFiles, target: Path) -> None:
    for segment in snapshot.segments:
        with copies.path(segment.number, segment.kind).open("wb") as file:
            file.write(snapshot.maps[segment.number].data)
            file.flush()
            os.fsync(file.fileno())
    catalogue.copy_to(target / COPY_NAME)


def _damage(target: Path, copies: SegmentFiles, dimension: int) -> list[str]:
    catalogue = Catalogue(target, write=True, name=COPY_NAME)
    try:
        return find_damage(target, catalogue, copies, dimension)
    finally:
        catalogue.close()
