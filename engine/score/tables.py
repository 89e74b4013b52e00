"""Pairs and ground truth as tables, and their CSV files."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError

PAIR_COLUMNS = ("query_id", "reference_id", "score")
TRUTH_COLUMNS = ("query_id", "reference_id")


class ScoredPairs:
    """Parallel columns of pairs: query ids, reference ids, scores float64 [P] (higher is more alike).

    Raises: ScoreError on NaN scores and on a pair that occurs twice.
    """

    def __init__(self, queries: Sequence[str], references: Sequence[str], scores: NDArray[np.float64]) -> None:
        if np.isnan(scores).any():
            row = int(np.isnan(scores).argmax())
            raise ScoreError(f"the score of pair {queries[row]}, {references[row]} is NaN")
        seen = set(zip(queries, references, strict=True))
        if len(seen) < len(queries):
            raise ScoreError(_repeated(queries, references))
        self.queries = queries
        self.references = references
        self.scores = scores

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class GroundTruth:
    """queries: every labelled query, sorted; positives: the (query, reference) pairs that are copies."""

    queries: list[str]
    positives: frozenset[tuple[str, str]]

    @staticmethod
    def of(rows: Iterable[tuple[str, str]]) -> "GroundTruth":
        """(query id, reference id or "") -> ground truth. Raises: ScoreError when a row occurs twice."""
        queries, positives = set(), set()
        for query, reference in rows:
            if (query, reference) in positives or (not reference and query in queries):
                raise ScoreError(f"the ground truth lists {query}, {reference or '(no copy)'} twice")
            queries.add(query)
            if reference:
                positives.add((query, reference))
        return GroundTruth(sorted(queries), frozenset(positives))

    def restricted_to(self, queries: set[str]) -> "GroundTruth":
        """The part that concerns some of the queries."""
        positives = frozenset(pair for pair in self.positives if pair[0] in queries)
        return GroundTruth([query for query in self.queries if query in queries], positives)


def read_pairs(path: str | os.PathLike[str]) -> ScoredPairs:
    """Read ``query_id,reference_id,score``, comma- or tab-separated, with or without a header.

    Raises: ScoreError that names the line.
    """
    queries, references, scores = [], [], []
    for line, row in _rows(Path(path), PAIR_COLUMNS):
        if len(row) != 3:
            raise ScoreError(f"{path}, line {line}: {len(row)} columns, expected query_id, reference_id, score")
        try:
            scores.append(float(row[2]))
        except ValueError:
            raise ScoreError(f"{path}, line {line}: the score {row[2]!r} is not a number") from None
        queries.append(row[0])
        references.append(row[1])
    try:
        return ScoredPairs(queries, references, np.asarray(scores, np.float64))
    except ScoreError as error:
        raise ScoreError(f"{path}: {error}") from None


def write_pairs(path: Path, queries: Iterable[str], references: Iterable[str], scores: NDArray[np.float64]) -> None:
    """Write ``pairs.csv``; scores keep every digit, so that ties stay ties and others do not become any."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(PAIR_COLUMNS)
        writer.writerows(zip(queries, references, map(repr, scores.tolist()), strict=True))


def read_truth(path: str | os.PathLike[str]) -> GroundTruth:
    """Read ``query_id,reference_id``, the reference empty where the query is no copy.

    Raises: ScoreError that names the line.
    """
    rows = []
    for line, row in _rows(Path(path), TRUTH_COLUMNS):
        if len(row) not in (1, 2) or not row[0]:
            raise ScoreError(f"{path}, line {line}: expected query_id, reference_id (may be empty)")
        rows.append((row[0], row[1] if len(row) == 2 else ""))
    try:
        return GroundTruth.of(rows)
    except ScoreError as error:
        raise ScoreError(f"{path}: {error}") from None


def read_labels(path: str | os.PathLike[str], column: str) -> dict[str, str]:
    """query id -> the value of a column of a CSV file with a header, such as ``class_name`` of ``edits.csv``.

    Raises: ScoreError when a column is missing.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"query_id", column} <= set(reader.fieldnames or ()):
                raise ScoreError(f"{path}: needs the columns query_id and {column}")
            return {row["query_id"]: row[column] or "" for row in reader}
    except OSError as error:
        raise ScoreError(f"{path}: {error.strerror}") from None


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ScoreError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ScoreError(f"{path}: not a UTF-8 text file") from None
    first = text[: text.find("\n")] if "\n" in text else text
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in first and "," not in first else ",")
    for row in reader:
        if row and not (reader.line_num == 1 and tuple(cell.strip() for cell in row) == columns):
            yield reader.line_num, row


def _repeated(queries: Sequence[str], references: Sequence[str]) -> str:
    seen: set[tuple[str, str]] = set()
    for pair in zip(queries, references, strict=True):
        if pair in seen:
            return f"the pair {pair[0]}, {pair[1]} occurs twice"
        seen.add(pair)
    raise AssertionError("no pair occurs twice")
