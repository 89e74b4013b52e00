"""Pairs and ground truth as tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ScoreError


class ScoredPairs:
    """Parallel columns of pairs: query ids, reference ids, scores float64 [P] (higher is more alike).

    Raises: ScoreError on ids that are not text, on scores that are NaN or infinite, on columns of different lengths and on a
    pair that occurs twice.
    """

    def __init__(self, queries: Sequence[str], references: Sequence[str], scores: ArrayLike) -> None:
        self.queries: list[str] = list(queries)
        self.references: list[str] = list(references)
        self.scores: NDArray[np.float64] = np.asarray(scores, np.float64)
        if self.scores.shape != (len(self.queries),) or len(self.references) != len(self.queries):
            raise ScoreError(
                f"{len(self.queries)} queries, {len(self.references)} references and scores of shape "
                f"{self.scores.shape} are no pairs"
            )
        for name in (*self.queries, *self.references):
            if not isinstance(name, str):
                raise ScoreError(f"ids are text, not {name!r} ({type(name).__name__})")
        odd = np.flatnonzero(~np.isfinite(self.scores))
        if len(odd):
            row = int(odd[0])
            kind = "NaN" if np.isnan(self.scores[row]) else "infinite"
            raise ScoreError(f"the score of pair {self.queries[row]}, {self.references[row]} is {kind}")
        if len(set(zip(self.queries, self.references, strict=True))) < len(self):
            raise ScoreError(_repeated(self.queries, self.references))

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class GroundTruth:
    """queries: every labelled query, sorted; positives: the (query, reference) pairs that are copies.

    A query may be a copy of several references; one without a positive is no copy.
    """

    queries: list[str]
    positives: frozenset[tuple[str, str]]

    @staticmethod
    def of(rows: Iterable[tuple[str, str | None]]) -> "GroundTruth":
        """(query id, reference id, or "" or None for no copy) -> ground truth.

        Raises: ScoreError when a row occurs twice, or a query both with and without a reference, or an id is not text.
        """
        copies: set[str] = set()
        others: set[str] = set()
        positives: set[tuple[str, str]] = set()
        for query, reference in rows:
            for name in (query, reference or ""):
                if not isinstance(name, str):
                    raise ScoreError(f"ids are text, not {name!r} ({type(name).__name__})")
            if not reference:
                if query in others:
                    raise ScoreError(f"the ground truth lists {query}, (no copy) twice")
                others.add(query)
            else:
                if (query, reference) in positives:
                    raise ScoreError(f"the ground truth lists {query}, {reference} twice")
                copies.add(query)
                positives.add((query, reference))
            if query in copies and query in others:
                raise ScoreError(f"the ground truth lists {query} both as a copy and as none")
        return GroundTruth(sorted(copies | others), frozenset(positives))

    def restricted_to(self, queries: set[str]) -> "GroundTruth":
        """The part that concerns some of the queries."""
        positives = frozenset(pair for pair in self.positives if pair[0] in queries)
        return GroundTruth([query for query in self.queries if query in queries], positives)

    def references(self) -> dict[str, list[str]]:
        """Every labelled query -> the references it is a copy of, sorted; none where it is no copy."""
        expected: dict[str, list[str]] = {query: [] for query in self.queries}
        for query, reference in sorted(self.positives):
            expected[query].append(reference)
        return expected


def mismatch(pairs: ScoredPairs, truth: GroundTruth) -> str | None:
    """What looks like pairs and ground truth of different images, in one sentence; None where nothing does."""
    if not len(pairs):
        return "there are no pairs"
    if set(pairs.queries).isdisjoint(truth.queries):
        if not set(pairs.references).isdisjoint(truth.queries):
            return "the references of the pairs are the queries of the ground truth: are the columns swapped?"
        return f"no query of the ground truth occurs among the pairs: {truth.queries[0]!r} there, {pairs.queries[0]!r} here"
    expected = {reference for _, reference in truth.positives}
    if expected and expected.isdisjoint(pairs.references):
        return (
            f"no reference of the ground truth occurs among the pairs: {min(expected)!r} there, "
            f"{pairs.references[0]!r} here"
        )
    return None


def _repeated(queries: Sequence[str], references: Sequence[str]) -> str:
    seen: set[tuple[str, str]] = set()
    for pair in zip(queries, references, strict=True):
        if pair in seen:
            return f"the pair {pair[0]}, {pair[1]} occurs twice"
        seen.add(pair)
    raise AssertionError("no pair occurs twice")
