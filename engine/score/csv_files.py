"""Pairs, ground truth and labels as CSV files."""

import csv
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError
from .csv_layout import Column, Table, like_column_names
from .tables import GroundTruth, ScoredPairs

_IMAGE = "(?:image|img|file|filename|path|name)?(?:id|ids|name)?"
QUERY = Column("query_id", f"(?:q|query|queries){_IMAGE}")
REFERENCE = Column("reference_id", f"(?:r|ref|refs|reference|references|db|database){_IMAGE}")
SCORE = Column("score", "scores?|similarity|similarities|sim|confidence|(?:prediction|match|matching)scores?")

NO_COPY = frozenset({"", "nan", "null", "none"})
_UNCLEAR = frozenset({"na", "n/a", "#n/a", "<na>", "nil", "nat", "undefined", "-", "--", "?", "-1"})


def read_pairs(path: str | os.PathLike[str]) -> ScoredPairs:
    """Read ``query_id,reference_id,score``, one pair a line; what headers and delimiters there may be, see :class:`Table`.

    Raises: ScoreError that names the line.
    """
    queries, references, scores = [], [], []
    lines: dict[tuple[str, str], int] = {}
    with Table(path, (QUERY, REFERENCE, SCORE), lambda row: len(row) == 3 and _is_number(row[2])) as table:
        for query, reference, score in table:
            for role, name in (("query", query), ("reference", reference)):
                if name.lower() in NO_COPY:
                    raise ScoreError(f"no {role}: {name!r}" if name else f"no {role}")
            line = lines.setdefault((query, reference), table.line)
            if line != table.line:
                raise ScoreError(f"the pair {query}, {reference} occurs twice, first on line {line}")
            queries.append(query)
            references.append(reference)
            scores.append(_score(score))
        return ScoredPairs(queries, references, np.asarray(scores, np.float64))


def write_pairs(path: Path, queries: Sequence[str], references: Sequence[str], scores: NDArray[np.float64]) -> None:
    """Write ``pairs.csv``; scores keep every digit, so that ties stay ties and others do not become any."""
    returns = any("\r" in name for names in (queries, references) for name in names)  # csv leaves them bare otherwise
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(",".join(column.name for column in (QUERY, REFERENCE, SCORE)) + "\n")
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL)
        writer.writerows(zip(queries, references, map(repr, scores.tolist()), strict=True))


def read_truth(path: str | os.PathLike[str]) -> GroundTruth:
    """Read ``query_id,reference_id``, the reference empty (or nan, null, none) where the query is no copy.

    A query may have several references, each on a line of its own. Headers and delimiters: see :class:`Table`.
    Raises: ScoreError that names the line.
    """

    def rows(table: Table) -> Iterable[tuple[str, str]]:
        for query, reference in table:
            if table.header and SCORE.places(table.header):
                raise ScoreError("it has a column of scores: these are pairs, not ground truth")
            if query.lower() in NO_COPY:
                raise ScoreError(f"no query: {query!r}" if query else "no query")
            if reference.lower() in _UNCLEAR:
                raise ScoreError(f"does {reference!r} mean that there is no copy? Leave the cell empty")
            yield query, "" if reference.lower() in NO_COPY else reference

    with Table(path, (QUERY, REFERENCE), lambda row: len(row) == 2 and not like_column_names(row)) as table:
        return GroundTruth.of(rows(table))


def read_labels(path: str | os.PathLike[str], column: str) -> dict[str, str]:
    """query id -> the value of a column of a CSV file with a header, such as ``class_name`` of ``edits.csv``.

    A query whose value is empty, nan, null or none has no label.
    Raises: ScoreError when a column is missing or a query is on two lines.
    """
    labels: dict[str, str] = {}
    with Table(path, (QUERY, Column(column, "(?!)")), lambda row: False) as table:
        for query, value in table:
            if query.lower() in NO_COPY:
                raise ScoreError(f"no query: {query!r}" if query else "no query")
            if query in labels:
                raise ScoreError(f"the query {query} is there twice")
            labels[query] = "" if value.lower() in NO_COPY else value
    return labels


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _score(cell: str) -> float:
    if not _is_number(cell) or "_" in cell or not cell.isascii():  # float("1_0") is 10
        raise ScoreError(f"the score {cell!r} is not a number")
    score = float(cell)
    if not math.isfinite(score):
        raise ScoreError("the score is NaN" if math.isnan(score) else f"the score {cell} is infinite")
    return score
