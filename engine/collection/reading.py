"""What can be asked of an open collection, by any number of programs at a time."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from threading import RLock
from typing import Any, Self, TypeVar

from ..errors import CollectionError
from .audit import AuditEntry, read_entries
from .backup import copy_collection
from .blobs import Blobs, read_blob
from .catalogue import Catalogue
from .check import find_damage
from .compaction import dead_bytes, is_worth_compacting
from .errors import reporting
from .incoming import Blob, can_be_id
from .lock import WriterLock
from .records import WHOLE, Reference
from .rows import Descriptors
from .segments import SegmentFiles
from .snapshot import Snapshot, take_snapshot

PathLike = str | os.PathLike[str]
T = TypeVar("T")


class OpenCollection:
    """The part of :class:`Collection` that changes nothing."""

    def __init__(self, path: Path, catalogue: Catalogue, lock: WriterLock | None) -> None:
        self.path = path
        self._catalogue = catalogue
        self._lock = lock
        self._guard = RLock()
        properties = catalogue.properties()
        try:
            self.dimension = int(properties["dimension"])
            self.attributes: dict[str, str] = dict(properties["attributes"])
        except (KeyError, TypeError, ValueError):
            raise CollectionError(
                f"{path}: its catalogue is damaged: properties are missing; restore a backup"
            ) from None
        self._files = SegmentFiles(path, 4 * self.dimension)

    def close(self) -> None:
        """Let others change the collection. What was acknowledged is on the disk without it."""
        with self._guard, reporting(self.path):
            self._catalogue.close()
            self._files.forget(())
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        with self._guard, reporting(self.path):
            return self._catalogue.count()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.find([name]))

    @property
    def ids(self) -> list[str]:
        """All ids in order (by code point, whatever the order of adding)."""
        with self._guard, reporting(self.path), self._catalogue.reading():
            return [record.id for record in self._catalogue.records()]

    def references(self, after: str | None = None, limit: int = 1000, prefix: str = "") -> list[Reference]:
        """The next ``limit`` references behind the id ``after``, or the first ones; in the order of ids.

        prefix: how their ids begin.
        """
        with self._guard, reporting(self.path), self._catalogue.reading():
            return [record.reference() for record in self._catalogue.page(after, limit, prefix)]

    def find(self, ids: Iterable[str]) -> dict[str, Reference]:
        """Those of the ids that are there."""
        with self._guard, reporting(self.path), self._catalogue.reading():
            wanted = (name for name in ids if can_be_id(name))
            return {record.id: record.reference() for record in self._catalogue.find(wanted)}

    def find_number(self, number: int) -> Reference | None:
        """The reference of a number, if it is still there."""
        with self._guard, reporting(self.path), self._catalogue.reading():
            record = next(self._catalogue.numbered([number] if 0 <= number < 1 << 63 else []), None)
        return None if record is None else record.reference()

    def same_bytes(self, sha256: Iterable[str], most: int = 10) -> dict[str, list[str]]:
        """The ids, at most so many of each, of references whose bytes have these sha256 (hexadecimal), where there are any."""
        with self._guard, reporting(self.path), self._catalogue.reading():
            found = {one: self._catalogue.same_bytes(one, most) for one in dict.fromkeys(sha256)}
        return {one: ids for one, ids in found.items() if ids}

    def audit(self, after: int = 0, limit: int = -1) -> list[AuditEntry]:
        """The audit log behind the entry of a number, at most ``limit`` entries of it."""
        with self._guard, reporting(self.path), self._catalogue.reading():
            return list(read_entries(self._catalogue.connection, after, limit))

    def descriptors(self, view: str | None = WHOLE) -> Descriptors:
        """The rows of one view of all references that have it, or with None those of all views; see :class:`Descriptors`."""
        with self._guard, reporting(self.path):
            return self._snapshot(lambda snapshot: snapshot.descriptors(view))

    def rows_of(self, ids: Sequence[str]) -> Descriptors:
        """The rows of the whole pictures of those of the ids that are there, in the order given."""
        with self._guard, reporting(self.path):
            return self._snapshot(lambda snapshot: snapshot.rows_of(self._catalogue.find(ids), WHOLE))

    def rows_numbered(self, numbers: Sequence[int], view: str | None = WHOLE) -> Descriptors:
        """The same for those of the references' ascending numbers that are there; with None the rows of all views."""
        with self._guard, reporting(self.path):
            return self._snapshot(lambda snapshot: snapshot.rows_of(self._catalogue.numbered(numbers), view))

    def rows_from(self, number: int, limit: int) -> Descriptors:
        """The rows of all views of the first ``limit`` references from a number on, in the order of their numbers."""
        with self._guard, reporting(self.path):
            return self._snapshot(lambda snapshot: snapshot.rows_of(self._catalogue.from_number(number, limit), None))

    @property
    def next_number(self) -> int:
        """What the next reference to be added will have for its number."""
        with self._guard, reporting(self.path):
            return self._catalogue.next_number("reference")

    @property
    def state(self) -> str:
        """In a word, what the references are: it changes whenever one comes, goes or is changed."""
        with self._guard, reporting(self.path), self._catalogue.reading():
            return ".".join(map(str, self._catalogue.state()))

    def contents(self) -> tuple[list[Reference], Descriptors]:
        """All references, and the rows of their whole pictures in the same order, of one moment."""
        with self._guard, reporting(self.path):
            return self._snapshot(lambda snapshot: (snapshot.references(), snapshot.descriptors(WHOLE)))

    def with_blobs(self, kinds: Iterable[str]) -> tuple[Descriptors, dict[str, Blobs]]:
        """The rows of all views and the blobs of these kinds, both in the order of ids and of one moment; none is read yet."""
        wanted = list(kinds)
        with self._guard, reporting(self.path):
            return self._snapshot(lambda snapshot: snapshot.with_blobs(wanted))

    def everything(self, kinds: Iterable[str]) -> tuple[list[Reference], Descriptors, dict[str, Blobs]]:
        """All references, and what ``with_blobs`` gives, of one moment."""
        wanted = list(kinds)
        with self._guard, reporting(self.path):
            return self._snapshot(lambda snapshot: (snapshot.references(), *snapshot.with_blobs(wanted)))

    def blobs(self, kind: str, ids: Iterable[str] | None = None) -> Iterator[tuple[str, Blob | None]]:
        """(id, blob or None where a reference has none) for these ids, or for all in the order of ids; checksums are compared.

        Raises: CollectionError for an id that is not there.
        """
        with self._guard, reporting(self.path):
            found = self._snapshot(lambda snapshot: snapshot.blobs(kind, ids))
        return (
            (name, None if record is None else read_blob(self.path, name, record, data)) for name, record, data in found
        )

    def blob_versions(self, kind: str, ids: Iterable[str]) -> list[tuple[str, int | None]]:
        """(id, version of its blob, None without one) for those of the ids that are there."""
        with self._guard, reporting(self.path), self._catalogue.reading():
            records = [(record.id, record.number) for record in self._catalogue.find(ids)]
            found = [(name, self._catalogue.blob_of(number, kind)) for name, number in records]
        return [(name, None if blob is None else blob.version) for name, blob in found]

    @property
    def properties(self) -> dict[str, Any]:
        """What else was set for the whole, such as thresholds."""
        with self._guard, reporting(self.path):
            return self._catalogue.properties()

    def release_pages(self) -> None:
        """Let go of the memory that reading the segments has taken, which otherwise lasts until others need it."""
        with self._guard:
            self._files.release_pages()

    def check(self) -> list[str]:
        """Everything that is damaged, one line each; empty when all is well. Reads every byte that counts."""
        with self._guard, reporting(self.path):
            return find_damage(self.path, self._catalogue, self._files, self.dimension)

    def backup(self, target: PathLike) -> None:
        """Write the collection as it is at this moment to a new folder, checked; that is a collection of its own.

        Others may go on changing this one. Raises: CollectionError, also when something is at ``target``.
        """
        with self._guard, reporting(Path(target)):
            copy_collection(self.path, self._catalogue, self._files, self.dimension, Path(target))

    @property
    def dead_bytes(self) -> int:
        """Bytes of the segments that belong to no reference any more, and go when they are compacted."""
        with self._guard, reporting(self.path), self._catalogue.reading():
            return sum(map(dead_bytes, self._catalogue.segments()))

    @property
    def is_worth_compacting(self) -> bool:
        """Whether more of the segments is dead than alive."""
        with self._guard, reporting(self.path), self._catalogue.reading():
            return is_worth_compacting(self._catalogue.segments())

    def _snapshot(self, use: Callable[[Snapshot], T]) -> T:
        return take_snapshot(self.path, self._catalogue, self._files, self.dimension, use)
