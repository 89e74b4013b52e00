"""What jobs found to be near-duplicates, by the numbers of the references: one that goes takes its pairs along."""

import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import CollectionError
from .open_catalogue import OpenCatalogue

_INSERT = "INSERT INTO duplicate VALUES (?, ?, ?, ?, ?, ?)"
_PAGE = (
    "SELECT place, a.id, b.id, distance, first, second, duplicate.seal FROM duplicate"
    " JOIN reference a ON a.number = first JOIN reference b ON b.number = second"
    " WHERE job = ? AND place > ? ORDER BY place LIMIT ?"
)


class DuplicatePair(NamedTuple):
    """place: from 1 on, the nearest pair first. distance: Euclidean, between the descriptors."""

    place: int
    first: str
    second: str
    distance: float


class FoundDuplicates(OpenCatalogue):
    """The pairs of all jobs of one collection. All methods raise CollectionError for what is damaged or cannot be written."""

    def save(self, job: str, pairs: Sequence[tuple[int, int, float]], keep: Iterable[str]) -> None:
        """Keep the pairs of a job, (number, number, distance), in their order, and of other jobs those of ``keep``."""
        kept = {job, *keep}
        rows = [(job, place, *pair, _seal(job, place, *pair)) for place, pair in enumerate(pairs, 1)]
        with self._changing():
            known = [name for (name,) in self._execute("SELECT DISTINCT job FROM duplicate")]
            for name in [name for name in known if name not in kept or name == job]:
                self._execute("DELETE FROM duplicate WHERE job = ?", (name,))
            self._catalogue.connection.executemany(_INSERT, rows)

    def page(self, job: str, after: int = 0, limit: int = 100) -> list[DuplicatePair]:
        """The next pairs of a job behind a place, of references that are there as they were."""
        found = []
        with self._reading():
            for place, a, b, distance, first, second, seal in self._execute(_PAGE, (job, after, limit)):
                if _seal(job, place, first, second, distance) != seal:
                    raise CollectionError(f"{self.path}: its catalogue is damaged: duplicates; let the job run again")
                found.append(DuplicatePair(place, a, b, distance))
        return found


def _seal(job: str, place: int, first: int, second: int, distance: float) -> int:
    return zlib.crc32(f"{job}\0{place}\0{first}\0{second}\0{distance!r}".encode())
