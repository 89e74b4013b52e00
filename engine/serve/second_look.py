"""The second look at the candidates of a batch: what ``copytrace match`` answers, on references that come and go.

The nearest of every view of every query are found in the index. Among these few references the matcher finds for each query the
same candidates as among all, since those are in it and all others are further away.
"""

from collections.abc import Sequence
from threading import Lock

import numpy as np

from ..api import Engine
from ..errors import CollectionError, MatchError
from ..match.constants import MatchConstants
from ..match.stored import FEATURES, THUMBNAIL, features_from_bytes, thumbnail_from_bytes
from ..matches import Match, weigh
from ..matching import CANDIDATES, Matcher
from ..pictures import Picture
from ..references import References
from ..stored_looks import KINDS
from .live import LiveReferences

_TRIES = 5  # references may be deleted while they are read


class SecondLook:
    """Safe to use from several threads."""

    def __init__(self, engine: Engine, references: LiveReferences, constants: MatchConstants) -> None:
        self._engine = engine
        self._references = references
        self._constants = constants
        self._whole: Matcher | None = None  # with the votes' index of all references, made when it is first asked for
        self._version = -1
        self._lock = Lock()

    def match_all(self, pictures: Sequence[Picture]) -> list[list[Match]]:
        """The same with the references that most local features vote for among the candidates; one batch at a time.

        Raises: CollectionError, MatchError for what cannot be read.
        """
        with self._lock:
            if not len(self._references):
                return [[] for _ in pictures]
            return self._weighed(self._follow(), pictures)

    def _follow(self) -> Matcher:
        """The matcher of all references as they are now."""
        version = self._references.version
        if self._whole is None:
            self._whole = Matcher(self._references.reader, "full", engine=self._engine, constants=self._constants)
        elif version != self._version:
            self._whole.update(self._references.reader)
        self._version = version
        return self._whole

    def match(self, pictures: Sequence[Picture]) -> list[list[Match]]:
        """The matches of each query, the likeliest first. Raises: CollectionError, MatchError for what cannot be read."""
        views = np.concatenate([picture.descriptors for picture in pictures])
        near = sorted(set(self._references.index.nearest(views, CANDIDATES).references))
        references = self._read(near)
        if references is None:
            return [[] for _ in pictures]
        matcher = Matcher(references, "verify", engine=self._engine, constants=self._constants)
        return self._weighed(matcher, pictures)

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
