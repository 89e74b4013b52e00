"""References made ready to be matched with: made of images and held in memory, or read from a collection as they are needed."""

import os
from collections.abc import Container, Iterable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .alike import CROPS, MATCHING, OUTPUT, check_alike
from .bundle import Bundle
from .bundle_embedder import BundleEmbedder
from .collection import Collection, Descriptors, is_collection
from .errors import CollectionError, MatchError, SourceError
from .match.features import LocalFeatures
from .match.grey import Grey
from .match.stored import FEATURES, THUMBNAIL, features_from_bytes, thumbnail_from_bytes
from .match.views import CROP_LABELS, WHOLE
from .pictures import Looks, Picture, picture_stream
from .read import BadImage, Place, Source, open_source
from .run import Progress, describe_run
from .stored_crops import check_crops, stored_crops
from .stored_looks import KINDS, Stored, StoredSizes, check_stored, row_count

T = TypeVar("T", covariant=True)


class Numbered(Protocol[T]):
    """One for each reference, by its number; what is kept in a file is read when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> T: ...


class References:
    """Ids in order, descriptors float32 [N, D] and, where they are wanted for the second look, local features and thumbnails.

    Attributes: ``ids``, ``descriptors``, ``features`` and ``thumbnails`` (both empty without local features), ``rows`` of local
    features in all, ``sizes`` (width, height) of the images, (0, 0) where that is not known, ``failed``, those that could not
    be used, ``numbers`` int64 [N], which a collection never gives to another reference, ``matching``, the hash of the constants
    and quantisers that a collection was last added to with, ``crops`` the rows float32 [9 N, D] of their crops, nine of each
    one beside each other, None where there are none.
    """

    def __init__(
        self,
        ids: Sequence[str],
        descriptors: NDArray[np.float32] | Descriptors,
        sizes: Numbered[tuple[int, int]],
        features: Numbered[LocalFeatures] = (),
        thumbnails: Numbered[Grey] = (),
        *,
        crops: NDArray[np.float32] | Descriptors | None = None,
        rows: int = 0,
        numbers: NDArray[np.int64] | None = None,
        matching: str | None = None,
        failed: Iterable[BadImage] = (),
    ) -> None:
        self.ids = ids
        self.descriptors = descriptors
        self.sizes = sizes
        self.features = features
        self.thumbnails = thumbnails
        self.crops = crops
        self.rows = rows
        self.numbers = np.arange(len(ids)) if numbers is None else numbers
        self.matching = matching
        self.failed = list(failed)
        self._numbers = {name: number for number, name in enumerate(self.ids)}

    @classmethod
    def of_pictures(cls, pictures: Iterable[Picture], failed: Iterable[BadImage] = ()) -> "References":
        """Pictures, at least one, with local features or all without, with crops or all without."""
        kept = sorted(pictures, key=lambda picture: picture.id)
        features = [picture.features for picture in kept if picture.features is not None]
        return cls(
            [picture.id for picture in kept],
            np.concatenate([picture.descriptors[:1] for picture in kept]),
            [picture.size for picture in kept],
            features,
            [picture.grey for picture in kept if picture.grey is not None],
            crops=np.concatenate([picture.descriptors[1:] for picture in kept]) if len(kept[0].views) > 1 else None,
            rows=sum(map(len, features)),
            failed=failed,
        )

    @classmethod
    def of(
        cls,
        embedder: BundleEmbedder,
        source: Source,
        *,
        local: bool = True,
        crops: bool = False,
        only: Container[str] | None = None,
        progress: Progress = lambda done, total, failed: None,
    ) -> "References":
        """The images of a source, or ``only`` those with these ids; with their crops, if wished.

        Raises: SourceError when none of them can be used.
        """
        images = [image for image in source if only is None or image.id in only]
        pictures: list[Picture] = []
        failed: list[BadImage] = []
        for item in picture_stream(embedder, images, Looks.of_references(embedder, local=local, crops=crops)):
            if isinstance(item, BadImage):
                failed.append(item)
            else:
                pictures.append(item)
            progress(len(pictures) + len(failed), len(images), len(failed))
        if not pictures:
            why = f": {failed[0].id}: {failed[0].reason}" if failed else ""
            raise SourceError(f"{source.name}: none of the {len(images)} images that are wanted can be used{why}")
        return cls.of_pictures(pictures, failed)

    @classmethod
    def of_collection(
        cls, collection: Collection, *, local: bool = True, only: Container[str] | None = None
    ) -> "References":
        """What a collection holds at this moment, or ``only`` those with these ids; read as it is needed, also when the
        collection has been closed or changed since.

        Raises: CollectionError when none is there; MatchError where ``local`` features are wanted, and one has none, or where
        the collection keeps crops, and one has none.
        """
        descriptors, blobs = collection.with_blobs(KINDS)
        whole = descriptors.of_views([WHOLE])
        numbers = np.array([n for n, name in enumerate(whole.ids) if only is None or name in only], np.int64)
        if not len(numbers):
            raise CollectionError(f"{collection.path}: has none of the references that are wanted")
        ids = [whole.ids[number] for number in numbers]
        rows = whole if only is None else whole[numbers]
        crops = stored_crops(collection, descriptors, ids) if collection.properties.get(CROPS) else None
        sizes = StoredSizes(blobs[FEATURES], numbers)
        matching = collection.properties.get(MATCHING)
        if not local:
            return cls(ids, rows, sizes, crops=crops, numbers=whole.numbers[numbers], matching=matching)
        check_stored(blobs, numbers)
        return cls(
            ids,
            rows,
            sizes,
            Stored(blobs[FEATURES], numbers, features_from_bytes),
            Stored(blobs[THUMBNAIL], numbers, thumbnail_from_bytes),
            crops=crops,
            rows=row_count(blobs[FEATURES], numbers),
            numbers=whole.numbers[numbers],
            matching=matching,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of each reference of these numbers [n] the row of the whole, and then those of its crops, float32 [n, 1 or 10, D]."""
        whole = self.descriptors[numbers][:, None]
        if self.crops is None:
            return whole
        count = len(CROP_LABELS)
        crops = self.crops[(count * numbers[:, None] + np.arange(count)).reshape(-1)]
        return np.concatenate([whole, crops.reshape(len(numbers), count, -1)], axis=1)

    def without_crops(self) -> "References":
        """The same ones, to be matched with by their whole pictures alone."""
        found = copy(self)
        found.crops = None
        return found

    def number(self, name: str) -> int | None:
        """The row of an id, None where there is no such reference."""
        return self._numbers.get(name)

    def numbers_of(self, pairs: Iterable[tuple[str, str]], queries: Source) -> dict[str, list[int]]:
        """Pairs (query id, reference id) -> the numbers of each query's references. Raises: MatchError for ids not there."""
        wanted: dict[str, list[int]] = {}
        there = set(queries.ids())
        for query, reference in pairs:
            number = self.number(reference)
            if query not in there:
                raise MatchError(f"the query {query!r} of the pairs is not among the images of {queries.name}")
            if number is None:
                raise MatchError(
                    f"the reference {reference!r} of the pairs is not among the references that can be used"
                )
            wanted.setdefault(query, []).append(number)
        return wanted


def notes_on(bundle: Bundle, references: References) -> Iterator[str]:
    """What may make answers others than they were when these references were last added to."""
    if "constants" not in bundle.manifest.matching:
        yield f"{bundle.path}: has no constants of matching; by the default bundle's, probabilities are not calibrated"
    if references.matching not in (None, bundle.matching):
        yield "constants or quantisers of matching have changed since the collection was last added to: answers may differ"


def references_at(
    embedder: BundleEmbedder,
    place: Place | Source | Collection,
    *,
    local: bool = True,
    crops: bool | None = None,
    only: Container[str] | None = None,
    progress: Progress = lambda done, total, failed: None,
) -> References:
    """What is at a place: a collection, open or not, or a source of images; ``only`` those with these ids.

    crops: of images, make them too; a collection has them or not, and a wish against that is an error.
    Raises: SourceError; CollectionError for a collection whose descriptors were made in another way; MatchError where local
    features are missing.
    """
    if isinstance(place, str | os.PathLike) and is_collection(Path(place)):
        with Collection.open(place) as collection:
            return references_at(embedder, collection, local=local, crops=crops, only=only)
    if isinstance(place, Collection):
        check_alike(place, embedder.dimension(OUTPUT), describe_run(embedder, "reference", OUTPUT))
        check_crops(place.path, bool(place.properties.get(CROPS)), crops)
        return References.of_collection(place, local=local, only=only)
    source = place if isinstance(place, Source) else open_source(place)
    return References.of(embedder, source, local=local, crops=bool(crops), only=only, progress=progress)
