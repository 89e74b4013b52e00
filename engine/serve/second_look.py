"""The second look at the candidates of a batch: what ``copytrace match`` answers, on references that come and go.

The nearest of every view of every query are found in the index, and the matcher is given them, each query its own, so that none
depends on those beside it. Votes are counted in an index of all.
"""

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..api import Engine
from ..errors import CollectionError, MatchError
from ..match.constants import MatchConstants
from ..match.features import LocalFeatures
from ..match.recall import Quantisers
from ..match.stored import FEATURES, THUMBNAIL, features_from_bytes, thumbnail_from_bytes
from ..matches import Match, weigh
from ..matching import CANDIDATES, VOTED, Matcher
from ..pictures import Picture
from ..references import References
from ..search import IndexPairs
from ..stored_looks import KINDS
from .live import LiveReferences
from .votes import Votes

_TRIES = 5  # references may be deleted while they are read


class Recalled(NamedTuple):
    """Numbers of the references that were voted for, query by query as they will be asked for."""

    numbers: Iterator[list[int]]

    def most_voted(self, queries: Sequence[LocalFeatures], count: int) -> list[list[int]]:
        return [next(self.numbers) for _ in queries]


class Found:
    """The nearest references of views, as ``candidates.NearestReferences``: given out view by view in their order."""

    def __init__(self, pairs: IndexPairs) -> None:
        self._pairs = pairs
        self._given = 0

    def __call__(
        self, queries: NDArray[np.float32], references: References, k: int, *, crops: bool = True, threads: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        first, self._given = self._given, self._given + len(queries)
        found = [
            (query - first, number)
            for query, name in zip(self._pairs.queries.tolist(), self._pairs.references, strict=True)
            if first <= query < self._given and (number := references.number(name)) is not None  # else deleted since
        ]
        of_row, numbers = np.array(found, np.int64).reshape(-1, 2).T
        return of_row, numbers


class SecondLook:
    """Safe to use from several threads."""

    def __init__(self, engine: Engine, references: LiveReferences, constants: MatchConstants) -> None:
        self._engine = engine
        self._references = references
        self._constants = constants
        quantisers = Quantisers.load(engine.bundle.matching_file("quantisers")[0])
        self.votes = Votes(references, quantisers, engine.embedder.workers)
        self._voting = Lock()

    def match(self, pictures: Sequence[Picture], *, votes: bool = False) -> list[list[Match]]:
        """The matches of each query, the likeliest first. votes: the references that most local features vote for are among the
        candidates.

        Raises: CollectionError, MatchError for what cannot be read.
        """
        views = np.concatenate([picture.descriptors for picture in pictures])
        voted = self._voted(pictures) if votes else [[] for one in pictures if one.features is not None]
        near = self._references.index.nearest(views, CANDIDATES)
        references = self._read(sorted({*near.references, *(name for names in voted for name in names)}))
        if references is None:
            return [[] for _ in pictures]
        numbers = [[n for name in names if (n := references.number(name)) is not None] for names in voted]
        matcher = Matcher(
            references,
            "full",
            engine=self._engine,
            constants=self._constants,
            recall=Recalled(iter(numbers)),
            nearest=Found(near),
        )
        return self._weighed(matcher, pictures)

    def _voted(self, pictures: Sequence[Picture]) -> list[list[str]]:
        """For each query that has local features."""
        with self._voting:
            return self.votes.most_voted([one.features for one in pictures if one.features is not None], VOTED)

    def _weighed(self, matcher: Matcher, pictures: Sequence[Picture]) -> list[list[Match]]:
        model = self._constants.verify
        return [
            weigh(query, looks, matcher.references, model, pictures=False).matches
            for query, looks in matcher.looks(pictures)
            if isinstance(query, Picture)  # all are: no bad image was given
        ]

    def _read(self, ids: list[str]) -> References | None:
        """Those of the references that are there, with all that is kept of them; None where none is."""
        for attempt in range(_TRIES):
            there = sorted(self._references.reader.find(ids))
            if not there:
                return None
            try:
                rows = self._references.index.rows(there)
                features, thumbnails = self._blobs(FEATURES, there), self._blobs(THUMBNAIL, there)
            except (CollectionError, KeyError):
                if attempt < _TRIES - 1 and sorted(self._references.reader.find(there)) != there:
                    continue
                raise
            seen = [features_from_bytes(data) for data in features]
            sizes = [(one.frame.original_width, one.frame.original_height) for one in seen]
            greys = [thumbnail_from_bytes(data) for data in thumbnails]
            return References(there, rows, sizes, seen, greys, rows=sum(map(len, seen)))
        raise AssertionError("unreachable")

    def _blobs(self, kind: str, ids: list[str]) -> list[bytes]:
        found = []
        for name, blob in self._references.reader.blobs(kind, ids):
            if blob is None or blob.version != KINDS[kind]:
                raise MatchError(f"{name!r} has no {kind} of today's form; add it again, or give verify=none")
            found.append(blob.data)
        return found
