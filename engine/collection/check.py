"""Finding whatever is damaged in a collection: every checksum, seal, count and place."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import CollectionError
from .audit import read_entries
from .blobs import blob_is_whole, bytes_of
from .catalogue import Catalogue
from .records import BlobRecord, Record
from .review_rows import check_reviews
from .rows import gather, row_checksums
from .segments import SegmentFiles
from .snapshot import Snapshot, take_snapshot

_ROWS = 4096


def find_damage(path: Path, catalogue: Catalogue, files: SegmentFiles, dimension: int) -> list[str]:
    """One line for everything that is wrong; empty when all is well."""
    try:
        found = [f"{path}: catalogue: {line}" for line in catalogue.damage()]
        return found or take_snapshot(
            path, catalogue, files, dimension, lambda snapshot: list(_problems(snapshot, catalogue, dimension))
        )
    except CollectionError as error:
        return [str(error)]
    except sqlite3.Error as error:
        return [f"{path}: catalogue: {error}"]
    except UnicodeDecodeError:
        return [f"{path}: catalogue: text that is not UTF-8"]


def _problems(snapshot: Snapshot, catalogue: Catalogue, dimension: int) -> Iterator[str]:
    catalogue.properties()
    for _ in read_entries(catalogue.connection):
        pass  # each is compared with its seal
    check_reviews(catalogue.connection)
    live: Counter[int] = Counter()
    names: dict[int, tuple[str, set[str]]] = {}
    waiting: list[Record] = []
    for record in catalogue.records():
        live[record.segment] += 4 * dimension * len(record.view_names())
        if record.blobs:
            names[record.number] = (record.id, set(record.blob_kinds()))
        waiting.append(record)
        if len(waiting) == _ROWS:
            yield from _damaged_rows(snapshot, waiting, dimension)
            waiting.clear()
    yield from _damaged_rows(snapshot, waiting, dimension)
    for blob in catalogue.blobs():
        live[blob.segment] += blob.length
        yield from _damaged_blob(snapshot, blob, names)
    for name, kinds in names.values():
        for kind in sorted(kinds):
            yield f"{snapshot.path}: the {kind} of {name!r} are missing"
    for segment in snapshot.segments:
        if live[segment.number] != segment.live:
            yield f"{snapshot.path}: segment {segment.number}: {live[segment.number]} live bytes, not {segment.live}"


def _damaged_rows(snapshot: Snapshot, records: list[Record], dimension: int) -> Iterator[str]:
    owners = [(record, i) for record in records for i in range(len(record.view_names()))]
    places = np.asarray([(record.segment, record.row + i) for record, i in owners], np.int64).reshape(-1, 2)
    block = gather(snapshot.tables, places[:, 0], places[:, 1], dimension)
    expected = np.frombuffer(b"".join(record.checksums for record in records), "<u4")
    for position in np.flatnonzero(row_checksums(block) != expected).tolist():
        record, i = owners[position]
        view = record.view_names()[i]
        which = "descriptor" if len(record.view_names()) == 1 else f"descriptor ({view})"
        yield f"{snapshot.path}: the {which} of {record.id!r} is damaged"


def _damaged_blob(snapshot: Snapshot, blob: BlobRecord, names: dict[int, tuple[str, set[str]]]) -> Iterator[str]:
    name, kinds = names.get(blob.reference, (None, set()))
    if blob.kind not in kinds:
        yield f"{snapshot.path}: catalogue: {blob.kind} of a reference that does not have them (number {blob.reference})"
        return
    kinds.discard(blob.kind)
    if not blob_is_whole(blob, bytes_of(snapshot.maps, blob).tobytes()):
        yield f"{snapshot.path}: the {blob.kind} of {name!r} are damaged"
