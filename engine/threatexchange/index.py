"""The index: exact search among signals, kept in a file without pickle (see ``index_file``)."""

from collections.abc import Iterable, Iterator
from itertools import islice
from threading import Lock
from typing import BinaryIO, TypeVar

import numpy as np
from threatexchange.signal_type.index import (
    IndexMatchUntyped,
    SignalSimilarityInfo,
    SignalSimilarityInfoWithSingleDistance,
    SignalTypeIndex,
)

from ..search import Index
from ..signals import Float32, distance_text
from .index_file import IndexFile
from .process import signals

T = TypeVar("T")

BLOCK_ROWS = 16_384


class Distance(SignalSimilarityInfoWithSingleDistance[float]):
    """The Euclidean distance of two signals; shown with 4 digits behind the point."""

    def pretty_str(self) -> str:
        return distance_text(self.distance)


class CopytraceIndex(SignalTypeIndex[T]):
    """Signals of this process's bundle, each with a value of any kind that ``metadata`` can keep.

    Any number of threads may search while one adds; each search sees the signals of one moment.
    """

    def __init__(self) -> None:
        self._index = Index(signals().dimension)
        self._values: list[T] = []
        self._adding = Lock()

    def __len__(self) -> int:
        return len(self._index)

    def query(self, query: str) -> list[IndexMatchUntyped[SignalSimilarityInfo, T]]:
        """All signals no further away than ``Signals.max_distance``, the nearest first, equal ones in the order of adding.

        The empty signal, of what could not be hashed, is like no other. Raises: SignalError for what is no signal, and for one
        of another bundle.
        """
        if not query.strip():
            return []
        found = self._index.within(signals().decode(query)[None], signals().max_distance)
        distances = np.sqrt(found.distances).tolist()
        return [
            IndexMatchUntyped(Distance(distance), self._values[int(name)])
            for name, distance in zip(found.references, distances, strict=True)
        ]

    def add(self, signal_str: str, entry: T) -> None:
        """Raises: SignalError for what is no signal, and for one of another bundle."""
        self.add_all([(signal_str, entry)])

    def add_all(self, entries: Iterable[tuple[str, T]]) -> None:
        """Add signals with their values. Raises: SignalError as ``add`` does; some of the entries before may be there then."""
        remaining = iter(entries)
        while block := list(islice(remaining, BLOCK_ROWS)):
            rows = np.stack([signals().decode(signal) for signal, _ in block])
            self._append(rows, [value for _, value in block])

    def serialize(self, fout: BinaryIO) -> None:
        """Raises: SignalError for values that cannot be kept."""
        with self._adding:
            count, values = len(self._values), list(self._values)
        IndexFile(signals()).write(fout, self._blocks(count), values)

    @classmethod
    def deserialize(cls, fin: BinaryIO) -> "CopytraceIndex[T]":
        """Raises: SignalError for what is no such file, is damaged, or belongs to another bundle."""
        rows, values = IndexFile(signals()).read(fin)
        index = cls()
        index._append(rows, values)
        return index

    def _append(self, rows: Float32, values: list[T]) -> None:
        with self._adding:
            start = len(self._values)
            self._values += values  # first: a search looks up what it finds
            self._index.add([_name(start + i) for i in range(len(values))], rows)

    def _blocks(self, count: int) -> Iterator[Float32]:
        for start in range(0, count, BLOCK_ROWS):
            yield self._index.rows([_name(i) for i in range(start, min(count, start + BLOCK_ROWS))])


def _name(number: int) -> str:
    """What a signal is called in the search, where ids decide between equal distances: in the order of adding."""
    return f"{number:012d}"
