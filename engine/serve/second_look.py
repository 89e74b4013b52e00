"""The second look at the candidates of a batch: what ``copytrace match`` answers, on references that come and go.

The nearest of every view of every query are found in the index. Among these few references the matcher finds for each query the
same candidates as among all, since those are in it and all others are further away.
"""

from collections.abc import Sequence

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

    def match(self, pictures: Sequence[Picture]) -> list[list[Match]]:
        """The matches of each query, the likeliest first. Raises: CollectionError, MatchError for what cannot be read."""
        views = np.concatenate([picture.descriptors for picture in pictures])
        near = sorted(set(self._references.index.nearest(views, CANDIDATES).references))
        references = self._read(near)
        if references is None:
            return [[] for _ in pictures]
        matcher = Matcher(references, "verify", engine=self._engine, constants=self._constants)
        model = self._constants.verify
        # Pictures alone go in, so that none of them can be a bad image.
        return [
            weigh(query, looks, references, model, pictures=False).matches
            for query, looks in matcher.looks(pictures)
            if isinstance(query, Picture)
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
