"""Votes of local features in a service: an index of all references' features, made when it is first asked for, that then takes
in what came and lets go of what went; the catalogue is not read again.
"""

import logging
from collections.abc import Iterable, Sequence
from heapq import nsmallest
from threading import Lock

from ..collection import Blob
from ..errors import CollectionError, MatchError
from ..local_recall import LocalRecall
from ..match.features import LocalFeatures
from ..match.recall import LocalIndex, Quantisers, index_kind
from ..match.stored import FEATURES, FEATURES_VERSION, features_from_bytes
from ..pipeline import chunks_of
from ..references import References
from .live import LiveReferences

log = logging.getLogger(__name__)

_TAKEN = 1024  # references that are read at a time
_TRIES = 5  # they may be deleted while they are read


class Votes:
    """One thread at a time may ask; ``note`` may be called by any. threads: of one search."""

    def __init__(self, references: LiveReferences, quantisers: Quantisers, threads: int) -> None:
        self._references = references
        self._quantisers = quantisers
        self._threads = threads
        self._index: LocalIndex | None = None
        self._ids: dict[int, str] = {}
        """By the number that the collection gives to a reference; ``_numbers`` is the other way round."""
        self._numbers: dict[str, int] = {}
        self._noting = Lock()
        self._touched: set[str] | None = None  # not before there is an index

    def note(self, ids: Iterable[str]) -> None:
        """These references came, went or were replaced."""
        with self._noting:
            if self._touched is not None:
                self._touched.update(ids)

    def most_voted(self, queries: Sequence[LocalFeatures], count: int) -> list[list[str]]:
        """For each query the ids of the ``count`` references with the most votes, best first, ties by id.

        Raises: CollectionError, MatchError for what cannot be read; MissingExtraError.
        """
        index = self._followed()
        if index is None:
            return [[] for _ in queries]
        return [
            [name for _, name in nsmallest(count, ((-weight, self._ids[n]) for n, weight in votes.items()))]
            for votes in index.votes(queries)
        ]

    def _followed(self) -> LocalIndex | None:
        """The index with all that was noted until now; None where there are no references."""
        if self._index is not None:
            self._take_in(self._noted())
            if index_kind(len(self._index), self._quantisers) != self._index.kind:
                self._index = None
        if self._index is None and len(self._references):
            self._noted()
            self._build()
        return self._index

    def _noted(self) -> set[str]:
        """What was noted so far; from now on it begins anew."""
        with self._noting:
            noted, self._touched = self._touched or set(), set()
        return noted

    def _build(self) -> None:
        found = References.of_collection(self._references.reader)
        self._index = LocalRecall(found, self._quantisers, log.info, self._threads).index
        self._ids = dict(zip(found.numbers.tolist(), found.ids, strict=True))
        self._numbers = {name: number for number, name in self._ids.items()}

    def _take_in(self, touched: set[str]) -> None:
        """What fails is noted again, and tried by the next query."""
        for names in chunks_of(sorted(touched), _TAKEN):
            try:
                there, features = self._read(names)  # before anything is changed
            except Exception:
                self.note(touched)
                raise
            self._change(names, there, features)

    def _read(self, names: Sequence[str]) -> tuple[dict[str, int], list[LocalFeatures]]:
        """The numbers of those that are there, and the features of those among them that are new."""
        reader = self._references.reader
        for attempt in range(_TRIES):
            there = {name: reference.number for name, reference in reader.find(names).items()}
            try:
                return there, [_features(*pair) for pair in reader.blobs(FEATURES, self._new(there))]
            except CollectionError:
                if attempt == _TRIES - 1 or reader.find(there).keys() == there.keys():
                    raise
        raise AssertionError("unreachable")

    def _new(self, there: dict[str, int]) -> list[str]:
        return [name for name, number in there.items() if self._numbers.get(name) != number]

    def _change(self, names: Sequence[str], there: dict[str, int], features: Sequence[LocalFeatures]) -> None:
        assert self._index is not None
        new = self._new(there)
        gone = [name for name in names if name in self._numbers and there.get(name) != self._numbers[name]]
        self._index.remove([self._numbers[name] for name in gone])
        for name in gone:
            del self._ids[self._numbers.pop(name)]
        self._index.add([there[name] for name in new], features)
        for name in new:
            self._numbers[name] = there[name]
            self._ids[there[name]] = name


def _features(name: str, blob: Blob | None) -> LocalFeatures:
    if blob is None or blob.version != FEATURES_VERSION:
        raise MatchError(f"{name!r} has no local features of today's form; add it again, or give verify=candidates")
    return features_from_bytes(blob.data)
