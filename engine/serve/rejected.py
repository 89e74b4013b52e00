"""What was wrong once scores lower the next time: images like a rejected query lose log odds against the same reference.

    s' = s - MOST * max(0, max over rejected t of (cos(q, t) - NEAR) / (1 - NEAR))

q: the query's row, t: the rows of queries that were rejected for this reference. So the rejected image itself loses all of
``MOST``, one that is no near-duplicate of it nothing, and a pair that is surer than that stays a match. Every other pair stays
as it is, to the last bit. ``benchmarks.rejected`` measures it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ..collection.reviews import RejectedPair
from ..match.probability import RELATED, PairModel, sigmoid
from ..matches import Match

Row = NDArray[np.float32]

NEAR = 0.79
"""The cosine at which ``dedup`` begins to take two images for near-duplicates (a distance of 0.65)."""
MOST = 4.0
"""Log odds; from the upper end of the review band (0.9) to a probability of 0.14."""


class Rejected:
    """The rejected pairs of a collection. Safe to use from several threads.

    model: the probability of pairs without a second look, whose score is -(squared distance). most: pairs that are kept, the
    oldest go.
    """

    def __init__(self, pairs: Iterable[RejectedPair], model: PairModel, most: int) -> None:
        slope = model.related[RELATED.index("cosine")] / 2.0  # log odds for each unit of squared distance
        self._distance = MOST / slope if slope > 0.0 else 0.0
        self._most = most
        self._lock = Lock()
        self._rows: dict[str, dict[int, Row]] = {}
        """By reference and number of the review, unit rows; replaced as a whole, so that readers need no lock."""
        for pair in pairs:
            self._rows.setdefault(pair.reference, {})[pair.number] = _unit(pair.row)

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def add(self, pair: RejectedPair) -> None:
        with self._lock:
            mine = self._rows.get(pair.reference, {}) | {pair.number: _unit(pair.row)}
            self._rows = self._rows | {pair.reference: mine}
            if len(self) > self._most:
                self._without(min(number for rows in self._rows.values() for number in rows))

    def take_back(self, number: int) -> None:
        """Forget the pair of one review, if it is there."""
        with self._lock:
            self._without(number)

    def forget(self, references: Iterable[str]) -> None:
        """Forget all pairs of references that are there no more."""
        with self._lock:
            gone = self._rows.keys() & set(references)
            if gone:
                self._rows = {name: rows for name, rows in self._rows.items() if name not in gone}

    def lower_nearest(self, row: Row, nearest: Sequence[tuple[str, float]]) -> Sequence[tuple[str, float]]:
        """(id, score) of a query's references, the best first."""
        shares = self._shares(row, [name for name, _ in nearest])
        if not shares:
            return nearest
        lowered = [(name, score - self._distance * shares.get(name, 0.0)) for name, score in nearest]
        return sorted(lowered, key=lambda pair: -pair[1])

    def lower_matches(self, row: Row, matches: Sequence[Match]) -> Sequence[Match]:
        """The same after a second look; the evidence tells how much was taken off, as "rejected"."""
        shares = self._shares(row, [match.reference_id for match in matches])
        if not shares:
            return matches
        lowered = [_lowered(match, MOST * shares.get(match.reference_id, 0.0)) for match in matches]
        return sorted(lowered, key=lambda match: (-match.score, match.reference_id))

    def _shares(self, row: Row, references: Sequence[str]) -> dict[str, float]:
        """How much of ``MOST`` each reference loses, where it loses anything."""
        rows = self._rows
        known = [name for name in references if name in rows]
        query = _unit(row) if known else row
        found = {name: max(float(query @ other) for other in rows[name].values()) for name in known}
        return {name: (min(cosine, 1.0) - NEAR) / (1.0 - NEAR) for name, cosine in found.items() if cosine > NEAR}

    def _without(self, number: int) -> None:
        kept = {name: {n: row for n, row in rows.items() if n != number} for name, rows in self._rows.items()}
        self._rows = {name: rows for name, rows in kept.items() if rows}


def _lowered(match: Match, loss: float) -> Match:
    if not loss:
        return match
    score = match.score - loss
    probability = float(sigmoid(np.array(score)))
    scores = dict(match.evidence.scores) | {"score": score, "probability": probability, "rejected": loss}
    return replace(match, score=score, probability=probability, evidence=replace(match.evidence, scores=scores))


def _unit(row: Row) -> Row:
    length = float(np.linalg.norm(row))
    return np.asarray(row / (length or 1.0), np.float32)
