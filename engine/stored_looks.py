"""Joins collections and matching: what a collection keeps of references for the second look, read when it is looked at."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from .collection import Blob, Blobs
from .errors import CollectionError, MatchError
from .match.features import LocalFeatures
from .match.stored import (
    FEATURES,
    FEATURES_VERSION,
    THUMBNAIL,
    THUMBNAIL_VERSION,
    feature_count,
    features_from_bytes,
    features_to_bytes,
    thumbnail_from_bytes,
    thumbnail_to_bytes,
)
from .pictures import Picture

T = TypeVar("T")
KINDS = {FEATURES: FEATURES_VERSION, THUMBNAIL: THUMBNAIL_VERSION}
"""The kinds of blobs that the second look needs, and the form each must have."""
UNKNOWN_SIZE = (0, 0)
_KEPT = 256
"""Of those read last so many are kept, some 30 KB each: one look asks for a reference several times."""


def stored_looks(pictures: Sequence[Picture]) -> dict[str, list[Blob | None]]:
    """The blobs to keep of references that were made ready, by kind; none where there are no local features."""
    features = [None if p.features is None else features_to_bytes(p.features) for p in pictures]
    thumbnails = [None if p.grey is None else thumbnail_to_bytes(p.grey) for p in pictures]
    return {
        kind: [None if data is None else Blob(KINDS[kind], data) for data in column]
        for kind, column in ((FEATURES, features), (THUMBNAIL, thumbnails))
    }


def check_bytes(owner: str, kind: str, data: bytes) -> None:
    """Raises: CollectionError unless these bytes, if there are any, are what a reference has of this kind."""
    try:
        if data:
            features_from_bytes(data) if kind == FEATURES else thumbnail_from_bytes(data)
    except MatchError as error:
        raise CollectionError(f"{owner}: {error}") from None


def check_stored(blobs: dict[str, Blobs], numbers: NDArray[np.int64]) -> None:
    """Raises: MatchError unless these references have all that the second look needs, in today's form."""
    for kind, form in KINDS.items():
        versions = blobs[kind].versions[numbers]
        for wrong, what in ((versions < 0, f"no {kind}"), (versions != form, f"{kind} of another form")):
            if wrong.any():
                first = blobs[kind].ids[numbers[wrong.argmax()]]
                raise MatchError(
                    f"{blobs[kind].path}: {wrong.sum()} of {len(numbers)} references have {what}, the first is {first!r}; "
                    "collection add --features with the same images brings them, match --mode views needs none"
                )


def row_count(features: Blobs, numbers: NDArray[np.int64]) -> int:
    """How many local features these references have in all; known without reading any."""
    return int(feature_count(features.lengths[numbers]).sum())


class Stored(Generic[T]):
    """The blobs of these numbers, each as what its bytes mean."""

    def __init__(self, blobs: Blobs, numbers: NDArray[np.int64], meaning: Callable[[bytes], T]) -> None:
        self._blobs = blobs
        self._numbers = numbers
        self._meaning = meaning
        self._kept = lru_cache(_KEPT)(self._read)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: int, /) -> T:
        """Raises: CollectionError for what is damaged or not there, IndexError behind the last."""
        return self._kept(number)

    def _read(self, number: int) -> T:
        place = int(self._numbers[number])
        blob, name = self._blobs[place], self._blobs.ids[place]
        if blob is None:
            raise CollectionError(f"{self._blobs.path}: {name!r} has no {self._blobs.kind}")
        try:
            return self._meaning(blob.data)
        except MatchError as error:
            raise CollectionError(f"{self._blobs.path}: the {self._blobs.kind} of {name!r}: {error}") from None


class StoredSizes:
    """(width, height) of the original images, (0, 0) where there is nothing that says it."""

    def __init__(self, features: Blobs, numbers: NDArray[np.int64]) -> None:
        self._known = features.versions[numbers] == FEATURES_VERSION
        self._features: Stored[LocalFeatures] = Stored(features, numbers, features_from_bytes)

    def __len__(self) -> int:
        return len(self._known)

    def __getitem__(self, number: int, /) -> tuple[int, int]:
        if not self._known[number]:
            return UNKNOWN_SIZE
        frame = self._features[number].frame
        return frame.original_width, frame.original_height
