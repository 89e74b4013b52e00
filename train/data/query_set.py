"""Sets of edited queries as folders: what ``copytrace evaluate`` and ``copytrace train --validation`` read."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from copytrace.engine.store.folders import new_folder


@dataclass(frozen=True)
class Query:
    """One edited picture: its JPEG, its reference's id ("" for a distractor), and what was done to it.

    intensity: 0 to 1, or None where the edits have none.
    """

    id: str
    jpeg: bytes
    reference: str
    class_name: str
    intensity: float | None
    attacks: list[str]


def write_set(queries: Iterable[Query], folder: Path, references: Iterable[tuple[str, bytes]] = ()) -> int:
    """Write a set whole or not at all; returns the number of queries.

    ``queries/Q00000.jpg`` ..., ``truth.csv`` (query_id, reference_id, empty for distractors) and ``edits.csv`` (query_id,
    class_name, intensity, attacks); with references, (file name, bytes) each, also ``references/``.

    Raises: StoreError, when the folder exists already or cannot be written.
    """
    with new_folder(folder) as beside:
        for name, data in references:
            (beside / "references").mkdir(exist_ok=True)
            (beside / "references" / name).write_bytes(data)
        return _write_queries(queries, beside)


def _write_queries(queries: Iterable[Query], folder: Path) -> int:
    (folder / "queries").mkdir()
    with (
        (folder / "truth.csv").open("w", newline="", encoding="utf-8") as truth,
        (folder / "edits.csv").open("w", newline="", encoding="utf-8") as edits,
    ):
        truth_rows, edit_rows = (csv.writer(file, lineterminator="\n") for file in (truth, edits))
        truth_rows.writerow(("query_id", "reference_id"))
        edit_rows.writerow(("query_id", "class_name", "intensity", "attacks"))
        count = 0
        for query in queries:
            (folder / "queries" / f"{query.id}.jpg").write_bytes(query.jpeg)
            truth_rows.writerow((query.id, query.reference))
            intensity = "" if query.intensity is None else f"{query.intensity:.3f}"
            edit_rows.writerow((query.id, query.class_name, intensity, "+".join(query.attacks)))
            count += 1
    return count
