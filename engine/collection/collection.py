"""A collection: one folder with everything known about a set of references, and the only truth about it.

A change is bytes appended to the segments and flushed, then one transaction of the catalogue: killed at any moment, every
acknowledged reference is there, and no other. One program changes a collection at a time, any number read it meanwhile.
"""

import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import CollectionError
from .audit import AuditEntry
from .catalogue import Catalogue
from .change import Change
from .compaction import compact, dead_bytes
from .errors import reporting
from .folder import check_free, check_there, clear, make_catalogue
from .incoming import Blob, Incoming, check_id, check_incoming, metadata_text
from .lock import WriterLock
from .reading import OpenCollection, PathLike
from .records import WHOLE, BlobRecord, Record, blob_checksum
from .rows import row_checksums
from .schema import MIGRATIONS
from .segments import BLOBS, DESCRIPTORS, HEADER_BYTES, flush_folder


class Collection(OpenCollection):
    """An open collection; made by ``create`` or ``open``, and a context manager. Safe to use from several threads.

    Attributes: ``path``; ``dimension`` of the descriptors; ``attributes``, how they were made (as in descriptor files: space or
    bundle, precision, ...), empty where that is not known. All methods raise CollectionError for what is damaged or cannot be.
    """

    def __init__(self, path: Path, catalogue: Catalogue, lock: WriterLock | None, auto_compact: bool) -> None:
        super().__init__(path, catalogue, lock)
        self._auto_compact = auto_compact

    @classmethod
    def create(
        cls,
        path: PathLike,
        dimension: int,
        attributes: Mapping[str, str] | None = None,
        *,
        properties: Mapping[str, Any] | None = None,
        auto_compact: bool = True,
    ) -> "Collection":
        """A new, empty collection, open for changes. properties: what ``set_properties`` would set, there from the beginning.

        Raises: CollectionError when something is there already, or cannot be written.
        """
        path = Path(path)
        if not 1 <= dimension <= 1 << 16:
            raise ValueError(f"dimension must be from 1 to {1 << 16}, not {dimension}")
        first = _own_properties(properties or {}) | {"dimension": int(dimension), "attributes": dict(attributes or {})}
        with reporting(path):
            check_free(path)
            path.mkdir(exist_ok=True)
            lock = WriterLock(path)
            try:
                check_free(path)  # again: another program may have made it before the lock was ours
                clear(path)
                make_catalogue(path, first)
                flush_folder(path)
                flush_folder(path.absolute().parent)
            finally:
                lock.release()
        return cls.open(path, write=True, auto_compact=auto_compact)

    @classmethod
    def open(cls, path: PathLike, *, write: bool = False, auto_compact: bool = True) -> "Collection":
        """Open a collection; of an older format it is brought to today's, of a newer one it is refused.

        write: hold the lock that one program can have, and cut off what no acknowledged change has left. auto_compact: rewrite
        segments unasked as soon as more of them is dead than alive.
        Raises: CollectionError.
        """
        path = Path(path)
        check_there(path)
        lock = catalogue = None
        with reporting(path):
            try:
                lock = WriterLock(path) if write else None
                catalogue = Catalogue(path, write=write)
                _bring_up_to_date(path, catalogue, lock)
                collection = cls(path, catalogue, lock, auto_compact)
                if write:
                    collection._files.cut(catalogue.segments())
                return collection
            except BaseException:
                if catalogue is not None:
                    catalogue.close()
                if lock is not None:
                    lock.release()
                raise

    @contextmanager
    def noting(self, who: str, action: str, what: Mapping[str, Any]) -> Iterator[None]:
        """The change that is made inside leaves an entry in the audit log, both or neither."""
        with self._guard:
            self._catalogue.entry = AuditEntry(who, action, dict(what))
            try:
                yield
            finally:
                self._catalogue.entry = None

    def set_properties(self, **values: Any) -> None:
        """Set properties, JSON values; ``dimension`` and ``attributes`` stay what they are."""
        own = _own_properties(values)
        with self._guard, reporting(self.path):
            self._check_writable()
            with self._catalogue.changing():
                self._catalogue.set_properties(own)

    def add(
        self,
        ids: Sequence[str],
        descriptors: ArrayLike,
        sha256: Sequence[str | None] | None = None,
        sizes: Sequence[int | None] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        views: Sequence[str] = (WHOLE,),
        blobs: Mapping[str, Sequence[Blob | None]] | None = None,
        replace: bool = False,
    ) -> None:
        """Add references, all or none; when this returns they are on the disk.

        descriptors: float32 [N, D], or [N, V, D] with one row for each of ``views``. sha256, sizes: of the images' bytes.
        blobs: by kind, one for each id. replace: ids that are there lose all that was kept of them; else they are an error.
        Raises: CollectionError; ValueError and TypeError for arguments that do not fit together.
        """
        with self._guard, reporting(self.path):
            self._check_writable()
            new = check_incoming(self.dimension, ids, descriptors, sha256, sizes, metadata, views, blobs)
            old = list(self._catalogue.find(new.ids))
            if old and not replace:
                more = f" and {len(old) - 1} more of these" if len(old) > 1 else ""
                raise CollectionError(f"{self.path}: {old[0].id!r}{more} is there already")
            if new.ids:
                self._write(new, old)

    def replace(self, ids: Sequence[str], descriptors: ArrayLike, **more: Any) -> None:
        """``add`` with ``replace=True``: afterwards these ids are what is given here, whatever they were."""
        self.add(ids, descriptors, **more, replace=True)

    def remove(self, ids: Iterable[str]) -> int:
        """Remove references, all or none; returns how many. Raises: CollectionError when one is not there."""
        with self._guard, reporting(self.path):
            self._check_writable()
            wanted = list(dict.fromkeys(check_id(name) for name in ids))
            old = list(self._catalogue.find(wanted))
            if len(old) < len(wanted):
                missing = sorted(set(wanted) - {record.id for record in old})
                more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
                raise CollectionError(f"{self.path}: there is no {missing[0]!r}{more}; nothing was removed")
            with self._changing() as change:
                change.release(old, self._catalogue)
                with self._catalogue.changing():
                    self._catalogue.delete(old)
                    self._catalogue.save_segments(change.segments.values())
            self._compact_if_worth_it()
            return len(old)

    def set_metadata(self, metadata: Mapping[str, Mapping[str, Any]]) -> None:
        """Give references other metadata, all or none. Raises: CollectionError when an id is not there."""
        with self._guard, reporting(self.path):
            self._check_writable()
            texts = {check_id(name): metadata_text(value) for name, value in metadata.items()}
            with self._catalogue.changing():
                for name, text in texts.items():
                    record = next(self._catalogue.find([name]), None)
                    if record is None:
                        raise CollectionError(f"{self.path}: there is no {name!r}; nothing was changed")
                    self._catalogue.set_metadata(record, text)

    def compact(self) -> int:
        """Rewrite the segments without what was removed; returns the number of bytes that are gone."""
        with self._guard, reporting(self.path):
            self._check_writable()
            worn = [segment for segment in self._catalogue.segments() if dead_bytes(segment)]
            for segment in worn:
                with self._changing() as change:
                    change.close_segments(other.number for other in worn)  # none takes in what comes from another
                    compact(segment, change, self._catalogue, self._files, self.dimension)
                self._files.cut(self._catalogue.segments())
            self._files.forget(segment.number for segment in self._catalogue.segments())
            self._catalogue.fold()
            return sum(map(dead_bytes, worn))

    def _compact_if_worth_it(self) -> None:
        """What was asked for is done when this is called, so its own failure is a warning."""
        if self._auto_compact and self.is_worth_compacting:
            try:
                self.compact()
            except CollectionError as error:
                warnings.warn(f"done, but not compacted: {error}", stacklevel=4)

    def _write(self, new: Incoming, old: list[Record]) -> None:
        with self._changing() as change:
            records, blobs = self._append(new, change)
            change.release(old, self._catalogue)
            change.flush()
            with self._catalogue.changing():
                self._catalogue.delete(old)
                self._catalogue.insert(records, blobs)
                self._catalogue.save_segments(change.segments.values())
        if old:
            self._compact_if_worth_it()

    def _append(self, new: Incoming, change: Change) -> tuple[list[Record], list[BlobRecord]]:
        """Write rows and blobs; what the catalogue will say about them."""
        width = 4 * self.dimension
        data = new.rows.reshape(-1).view(np.uint8).data
        step = width * len(new.views)
        places = change.append(DESCRIPTORS, [data[i : i + step] for i in range(0, len(data), step)])
        sums = row_checksums(new.rows.reshape(-1, self.dimension)).astype("<u4").tobytes()
        first, views = self._catalogue.next_number("reference"), ",".join(new.views)
        records = []
        for i, (segment, offset) in enumerate(places):
            mine = sums[4 * len(new.views) * i : 4 * len(new.views) * (i + 1)]
            row, kinds = (offset - HEADER_BYTES) // width, ",".join(new.blobs[i])
            fixed = (first + i, new.ids[i], new.sha256[i], new.sizes[i], new.metadata[i], views, kinds)
            records.append(Record(*fixed, segment, row, mine))
        owned = [(first + i, kind, blob) for i, mine in enumerate(new.blobs) for kind, blob in mine.items()]
        blob_places = change.append(BLOBS, [blob.data for _, _, blob in owned])
        blobs = [
            BlobRecord(number, kind, blob.version, *place, len(blob.data), blob_checksum(number, kind, *blob))
            for (number, kind, blob), place in zip(owned, blob_places, strict=True)
        ]
        return records, blobs

    @contextmanager
    def _changing(self) -> Iterator[Change]:
        """What was written for a change that fails is cut off again; if even that fails, the next opening does it."""
        try:
            yield Change(self._files, self._catalogue, 4 * self.dimension)
        except BaseException:
            with suppress(OSError, sqlite3.Error):
                self._files.cut(self._catalogue.segments())
            raise

    def _check_writable(self) -> None:
        if self._lock is None:
            raise CollectionError(f"{self.path}: is not open for changes; open it with write=True")


def _own_properties(values: Mapping[str, Any]) -> dict[str, Any]:
    """Raises: ValueError for those that say what a collection is, CollectionError for what is not JSON."""
    fixed = {"dimension", "attributes"} & values.keys()
    if fixed:
        raise ValueError(f"{', '.join(sorted(fixed))} cannot be changed")
    metadata_text(values)
    return dict(values)


def _bring_up_to_date(path: Path, catalogue: Catalogue, lock: WriterLock | None) -> None:
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
