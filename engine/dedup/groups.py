"""What a search for near-duplicates gives, and the table it is written to."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..read import BadImage, Source
from ..search.pairs import Float32, Indices
from .facts import Facts

COLUMNS = ("group", "id", "keep", "distance", "width", "height", "bytes")


@dataclass(frozen=True, slots=True)
class Duplicate:
    """One image of a group.

    keep: it is the best of its group. distance: Euclidean, from its descriptor to that of the image kept. width, height: in
    pixels, upright; size: in bytes; None where the picture is not at hand.
    """

    id: str
    keep: bool
    distance: float
    width: int | None = None
    height: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Duplicates:
    """Groups of near-duplicates, the image to keep first in each; ``len`` counts the groups, iteration gives them.

    images: how many there are, ``embedded`` of them with a descriptor. failed: those without one, which were compared with
    nothing; damaged: those that are not what they were. ignored: how many files of which kind are no images. pictures: where
    the images are, if that is known. origin: what made the descriptors.
    """

    groups: list[tuple[Duplicate, ...]]
    max_distance: float
    images: int
    embedded: int
    failed: list[BadImage] = field(default_factory=list)
    damaged: list[BadImage] = field(default_factory=list)
    ignored: Mapping[str, int] = field(default_factory=dict)
    pictures: Source | None = None
    origin: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[tuple[Duplicate, ...]]:
        return iter(self.groups)

    def redundant(self) -> list[str]:
        """Ids of all images of which a better one is kept."""
        return [one.id for group in self.groups for one in group if not one.keep]


def group_rows(
    labels: Indices, ids: Sequence[str], rows: Float32, facts: Mapping[str, Facts]
) -> list[tuple[Duplicate, ...]]:
    """Rows with equal labels, where there are several, as groups in the order of the ids kept.

    Of each group the image is kept that is not damaged, has most pixels, then most bytes, then the first id. The others follow
    by their distance to it.
    """
    groups = [_group(members, ids, rows, facts) for members in members_of(labels)]
    return sorted(groups, key=lambda group: group[0].id)


def members_of(labels: Indices) -> list[Indices]:
    """Row numbers with one label, of every label that several rows have."""
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return [part for part in parts if len(part) > 1]


def _group(members: Indices, ids: Sequence[str], rows: Float32, facts: Mapping[str, Facts]) -> tuple[Duplicate, ...]:
    def worth(row: int) -> tuple[bool, int, int, str]:
        about = facts[ids[row]]
        return about.damaged, -(about.width or 0) * (about.height or 0), -(about.size or 0), ids[row]

    best = min(members.tolist(), key=worth)
    distances = np.linalg.norm(rows[members].astype(np.float64) - rows[best].astype(np.float64), axis=1)
    found = []
    for row, distance in zip(members.tolist(), distances.tolist(), strict=True):
        about = facts[ids[row]]
        found.append(Duplicate(ids[row], row == best, distance, about.width, about.height, about.size))
    return tuple(sorted(found, key=lambda one: (not one.keep, one.distance, one.id)))


def write_groups(path: Path, groups: Sequence[tuple[Duplicate, ...]]) -> None:
    """Write ``groups.csv``: a line for each image of a group, groups numbered from 1; unknown sizes are empty cells."""
    returns = any("\r" in one.id for group in groups for one in group)  # csv leaves them bare otherwise
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(",".join(COLUMNS) + "\n")
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL)
        for number, group in enumerate(groups, 1):
            for one in group:
                keep = "true" if one.keep else "false"
                writer.writerow([number, one.id, keep, repr(one.distance), one.width, one.height, one.size])
