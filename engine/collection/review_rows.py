"""Pairs that people are to decide on, as the catalogue keeps them, each with a seal."""

import json
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import CollectionError

Decision = Literal["accept", "reject"]


@dataclass(frozen=True, slots=True, eq=False)
class NewReview:
    """A pair to be decided on.

    query: sha256 (hexadecimal) of the query's bytes, name: what the client called it. reference: its id. evidence: a JSON
    object. thumbnail: a small JPEG of the query. descriptor: its row, float32 [D].
    """

    query: str
    name: str
    reference: str
    probability: float
    score: float
    evidence: dict[str, Any]
    thumbnail: bytes
    descriptor: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Review:
    """The same as it is kept, without its pictures. decision: None while nobody has decided. Times are UTC, ISO 8601."""

    number: int
    created: str
    query: str
    name: str
    reference: str
    probability: float
    score: float
    evidence: dict[str, Any]
    decision: Decision | None
    who: str
    decided: str


class ReviewRow(NamedTuple):
    """One row of the table, without its seal; decision is "" while nobody has decided."""

    number: int
    created: str
    query: str
    name: str
    reference: str
    probability: float
    score: float
    evidence: str
    decision: str
    who: str
    decided: str
    owner: int
    thumbnail: bytes
    descriptor: bytes

    def seal(self) -> int:
        """crc32 of all that it says."""
        return zlib.crc32(
            self.descriptor, zlib.crc32(self.thumbnail, zlib.crc32("\0".join(map(str, self[:12])).encode()))
        )

    def review(self) -> Review:
        decision: Decision | None = {"accept": "accept", "reject": "reject"}.get(self.decision)  # type: ignore[assignment]
        return Review(*self[:7], json.loads(self.evidence), decision, self.who, self.decided)


def read_rows(connection: sqlite3.Connection, rest: str, values: tuple[Any, ...] = ()) -> Iterator[ReviewRow]:
    """Rows by the rest of a statement, such as "WHERE number = ?". Raises: CollectionError for one that is damaged."""
    statement = f"SELECT {', '.join(ReviewRow._fields)}, seal FROM review {rest}"
    for *found, seal in connection.execute(statement, values):
        row = ReviewRow(*found)
        if not isinstance(row.thumbnail, bytes) or not isinstance(row.descriptor, bytes) or row.seal() != seal:
            raise CollectionError(f"its catalogue is damaged: the review {row.number}; restore a backup")
        yield row


def check_reviews(connection: sqlite3.Connection) -> None:
    """Raises: CollectionError for the first that is damaged."""
    for _ in read_rows(connection, ""):
        pass
