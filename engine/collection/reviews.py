"""The review queue of a collection: pairs that people are to decide on, and their decisions.

A change is one transaction: what was acknowledged survives a kill, and a decision comes with its entry in the audit log. A pair
is asked about once: the same bytes against the same reference are not queued again, whatever was decided.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import CollectionError
from .audit import AuditEntry, now
from .open_catalogue import OpenCatalogue
from .review_rows import Decision, NewReview, Review, ReviewRow, read_rows

Order = Literal["newest", "doubtful"]

_ORDERS = {"newest": "number DESC", "doubtful": "abs(probability - 0.5), number DESC"}
_BEHIND = {
    "newest": "number < ?1",
    "doubtful": "(abs(probability - 0.5), -number) > (SELECT abs(probability - 0.5), -number FROM review WHERE number = ?1)",
}
_CURRENT = "EXISTS (SELECT 1 FROM reference WHERE reference.number = review.owner)"


class Decided(NamedTuple):
    """A decision, for calibration."""

    query: str
    probability: float
    accepted: bool


class RejectedPair(NamedTuple):
    """A pair that was rejected: the review's number, the reference's id, the query's row float32 [D]."""

    number: int
    reference: str
    row: NDArray[np.float32]


class Reviews(OpenCatalogue):
    """The queue of one collection. All methods raise CollectionError for what is damaged or cannot be written."""

    def add(self, pairs: Sequence[NewReview], most: int) -> int:
        """Queue those that were never asked about and whose reference is there; how many.

        most: pairs that may wait for a decision; the oldest go.
        """
        added = 0
        with self._changing():
            for pair in pairs:
                added += self._insert(pair)
            self._keep_newest("decision = ''", most)
        return added

    def page(
        self, *, decided: bool = False, order: Order = "newest", after: int | None = None, limit: int = 100
    ) -> list[Review]:
        """Pairs that wait, or that are decided, behind the one of a number. order: the most doubtful has the probability
        nearest to a half."""
        where = ["decision <> ''"] if decided else ["decision = ''", _CURRENT]
        if after is not None:
            where.append(_BEHIND[order])
        rest = f"WHERE {' AND '.join(where)} ORDER BY {_ORDERS[order]} LIMIT ?{2 if after is not None else 1}"
        values = (limit,) if after is None else (after, limit)
        return [row.review() for row in self._rows(rest, values)]

    def find(self, number: int) -> Review | None:
        return next((row.review() for row in self._rows("WHERE number = ?", (number,))), None)

    def thumbnail(self, number: int) -> bytes | None:
        """A small JPEG of the query."""
        return next((row.thumbnail for row in self._rows("WHERE number = ?", (number,))), None)

    def decide(self, number: int, decision: Decision | None, who: str, most: int) -> Review | None:
        """Keep a decision, or with None take one back; the pair as it is then, None where there is none.

        most: decided pairs that are kept; the oldest go.
        """
        with self._guard:  # nobody else is to take the pair away meanwhile
            row = next(iter(self._rows("WHERE number = ?", (number,))), None)
            if row is None or row.decision == (decision or ""):
                return None if row is None else row.review()
            what = {"review": number, "query": row.query, "reference": row.reference, "decision": decision}
            time = now() if decision else ""
            changed = row._replace(decision=decision or "", who=who if decision else "", decided=time)
            with self._changing(AuditEntry(who, "review", what)):
                self._execute(
                    "UPDATE review SET decision = ?, who = ?, decided = ?, seal = ? WHERE number = ?",
                    (changed.decision, changed.who, changed.decided, changed.seal(), number),
                )
                self._keep_newest("decision <> ''", most)
        return changed.review()

    def waiting(self) -> int:
        """How many pairs wait for a decision."""
        with self._reading():
            return int(self._execute("SELECT count(*) FROM review WHERE decision = ''").fetchone()[0])

    def decided_since(self, time: str) -> dict[str, int]:
        """How many were decided from a time on, by decision."""
        statement = "SELECT decision, count(*) FROM review WHERE decision <> '' AND decided >= ? GROUP BY decision"
        with self._reading():
            return {"accept": 0, "reject": 0} | dict(self._execute(statement, (time,)).fetchall())

    def decisions(self) -> list[Decided]:
        """All decisions that are kept, in the order of the pairs."""
        with self._reading_rows("WHERE decision <> '' ORDER BY number") as rows:
            return [Decided(row.query, row.probability, row.decision == "accept") for row in rows]

    def rejected(self, only: int | None = None) -> list[RejectedPair]:
        """The rejected pairs whose references are there as they were, or the one of a number if it is one of them."""
        which = "" if only is None else "AND number = ?"
        rest = f"WHERE decision = 'reject' AND {_CURRENT} {which} ORDER BY number"
        with self._reading_rows(rest, () if only is None else (only,)) as rows:
            return [RejectedPair(row.number, row.reference, np.frombuffer(row.descriptor, "<f4")) for row in rows]

    def _rows(self, rest: str, values: tuple[int, ...] = ()) -> list[ReviewRow]:
        with self._reading_rows(rest, values) as rows:
            return list(rows)

    @contextmanager
    def _reading_rows(self, rest: str, values: tuple[int, ...] = ()) -> Iterator[Iterator[ReviewRow]]:
        """Rows one after another: thousands of them with their pictures are not to be in memory at once."""
        with self._reading():
            try:
                yield read_rows(self._catalogue.connection, rest, values)
            except CollectionError as error:
                raise CollectionError(f"{self.path}: {error}") from None

    def _insert(self, pair: NewReview) -> bool:
        known = self._execute("SELECT number FROM reference WHERE id = ?", (pair.reference,)).fetchone()
        if known is None:
            return False
        there = "SELECT 1 FROM review WHERE query = ? AND owner = ?"
        if self._execute(there, (pair.query, known[0])).fetchone():
            return False
        (last,) = self._execute("SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'review'").fetchone()
        evidence = json.dumps(pair.evidence, ensure_ascii=False, allow_nan=False)
        row = ReviewRow(
            last + 1,
            now(),
            pair.query,
            pair.name,
            pair.reference,
            float(pair.probability),
            float(pair.score),
            evidence,
            "",
            "",
            "",
            known[0],
            pair.thumbnail,
            pair.descriptor.astype("<f4").tobytes(),
        )
        places = ", ".join("?" * (len(row) + 1))
        self._execute(f"INSERT INTO review VALUES ({places})", (*row, row.seal()))
        return True

    def _keep_newest(self, which: str, most: int) -> None:
        newest = f"SELECT number FROM review WHERE {which} ORDER BY number DESC LIMIT 1 OFFSET ?"
        self._execute(f"DELETE FROM review WHERE {which} AND number <= ({newest})", (most,))
