"""A change in the making: bytes are appended to the segments first, and count when the catalogue's transaction ends."""

from collections.abc import Iterable, Iterator, Sequence

from .catalogue import Catalogue
from .records import Record, Segment
from .segments import SEGMENT_BYTES, SegmentFiles

WRITE_BYTES = 16 << 20


class Change:
    """The segments as they will be. ``segments`` by number; what is given out are places in them."""

    def __init__(self, files: SegmentFiles, catalogue: Catalogue, row_bytes: int) -> None:
        self._files = files
        self._row_bytes = row_bytes
        self.segments = {segment.number: segment for segment in catalogue.segments()}
        self._next = catalogue.next_number("segment")
        self._written: set[int] = set()
        self._closed: set[int] = set()

    def append(self, kind: str, parts: Sequence[bytes | memoryview]) -> list[tuple[int, int]]:
        """Write parts one after another; (segment, offset in bytes) of each. Raises: OSError."""
        places = []
        for group in _groups(parts):
            data = b"".join(group)
            segment = self._open_segment(kind, len(data))
            self._files.append(segment, data)
            offset = segment.length
            for part in group:
                places.append((segment.number, offset))
                offset += len(part)
            self.segments[segment.number] = segment._replace(length=offset, live=segment.live + len(data))
            self._written.add(segment.number)
        return places

    def release(self, records: Iterable[Record], catalogue: Catalogue) -> None:
        """Count the bytes of references and their blobs as dead."""
        for record in records:
            self._release(record.segment, len(record.view_names()) * self._row_bytes)
            if record.blobs:
                for blob in catalogue.blobs_of(record.number):
                    self._release(blob.segment, blob.length)

    def close_segments(self, numbers: Iterable[int]) -> None:
        """Write nothing more to these."""
        self._closed.update(numbers)

    def drop(self, number: int) -> None:
        """Take a segment out; its file goes when the change has been made."""
        del self.segments[number]

    def flush(self) -> None:
        """Wait until all that was appended is on the disk. Raises: OSError."""
        if self._written:
            self._files.flush(self.segments[number] for number in sorted(self._written))

    def _release(self, number: int, size: int) -> None:
        segment = self.segments[number]
        self.segments[number] = segment._replace(live=segment.live - size)

    def _open_segment(self, kind: str, size: int) -> Segment:
        """The last segment of a kind if it has room, or a new one."""
        for segment in reversed(self.segments.values()):
            if segment.kind == kind and segment.number not in self._closed:
                if segment.length + size <= SEGMENT_BYTES:
                    return segment
                break
        segment = self._files.create(self._next, kind)
        self.segments[segment.number] = segment
        self._next += 1
        return segment


def _groups(parts: Sequence[bytes | memoryview]) -> Iterator[list[bytes | memoryview]]:
    """Consecutive parts of together at most ``WRITE_BYTES``, a larger part alone."""
    group: list[bytes | memoryview] = []
    size = 0
    for part in parts:
        if group and size + len(part) > WRITE_BYTES:
            yield group
            group, size = [], 0
        group.append(part)
        size += len(part)
    if group:
        yield group
