"""Rewriting a segment without what no reference has any more; one segment is one change, so a kill costs at most its work."""

from itertools import islice

import numpy as np

from ..errors import CollectionError
from .blobs import read_blob
from .catalogue import Catalogue
from .change import Change
from .records import Record, Segment
from .rows import as_rows, row_checksums
from .segments import BLOBS, DESCRIPTORS, HEADER_BYTES, SegmentFiles

_ROWS = 4096
_BLOBS = 256


def dead_bytes(segment: Segment) -> int:
    return segment.length - HEADER_BYTES - segment.live


def is_worth_compacting(segments: list[Segment]) -> bool:
    """Whether more is dead than alive. So the cost of compaction is at most that of what was removed."""
    return sum(map(dead_bytes, segments)) > sum(segment.live for segment in segments)


def compact(segment: Segment, change: Change, catalogue: Catalogue, files: SegmentFiles, dimension: int) -> None:
    """Copy what lives in a segment, closed for this change, to others, and take it out, in one transaction.

    Raises: CollectionError when a part of it is damaged: it is not copied on under a new checksum.
    """
    if segment.kind == DESCRIPTORS:
        places = _copy_rows(segment, change, catalogue, files, dimension)
        blob_places = []
    else:
        places, blob_places = [], _copy_blobs(segment, change, catalogue, files)
    change.drop(segment.number)
    change.flush()
    with catalogue.changing():
        catalogue.move(places)
        catalogue.move_blobs(blob_places)
        catalogue.save_segments(change.segments.values())


def _copy_rows(
    segment: Segment, change: Change, catalogue: Catalogue, files: SegmentFiles, dimension: int
) -> list[tuple[int, int, int]]:
    table = as_rows(files.map(segment), dimension)
    records = iter(catalogue.records_in(segment.number))
    places = []
    while some := list(islice(records, _ROWS)):
        parts = []
        for record in some:
            rows = np.ascontiguousarray(table[record.row : record.row + len(record.view_names())])
            if row_checksums(rows).astype("<u4").tobytes() != record.checksums:
                raise _damaged(files, segment, record)
            parts.append(rows.tobytes())
        for record, (number, offset) in zip(some, change.append(DESCRIPTORS, parts), strict=True):
            places.append((number, (offset - HEADER_BYTES) // (4 * dimension), record.number))
    return places


def _copy_blobs(
    segment: Segment, change: Change, catalogue: Catalogue, files: SegmentFiles
) -> list[tuple[int, int, int, str]]:
    mapped = files.map(segment)
    blobs = iter(catalogue.blobs_in(segment.number))
    places = []
    while some := list(islice(blobs, _BLOBS)):
        parts = [
            read_blob(
                files.path(segment.number, segment.kind), f"number {b.reference}", b, mapped[b.offset :][: b.length]
            ).data
            for b in some
        ]
        for blob, (number, offset) in zip(some, change.append(BLOBS, parts), strict=True):
            places.append((number, offset, blob.reference, blob.kind))
    return places


def _damaged(files: SegmentFiles, segment: Segment, record: Record) -> CollectionError:
    path = files.path(segment.number, segment.kind)
    return CollectionError(f"{path}: the descriptor of {record.id!r} is damaged; remove or replace it first")
