"""Searching files and collections: what is behind ``copytrace search``."""

import logging
import os
from collections.abc import Iterable
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from .alike import decoders_in
from .arguments import MAX_THREADS, file_path, number, whole_number
from .bundle import Bundle
from .collection import Collection
from .decoded_by import decoder_attribute, decoders_of, mixed
from .embedder import Role
from .errors import DeviceError, MissingExtraError, SearchError
from .found import Found, origin
from .infer import Device
from .match.views import WHOLE
from .outputs import PAIRS, check_output
from .score import write_pairs
from .score_normalisation import score_offsets
from .search import CardScanner, Images, ImageSearch, RowSearch, RowSearches, Scanner, Wanted, answer
from .store import DescriptorArray, DescriptorFile, Descriptors, check_comparable, in_memory, open_descriptors
from .store.atomic import replacing

log = logging.getLogger(__name__)

DEFAULT_TOP = 500_000
_WORTH_A_CARD = 1 << 40  # products: half a minute of two processors, and far more than it takes to wake a card
PathLike = str | os.PathLike[str]
Searchable = PathLike | NDArray[np.float32] | tuple[Iterable[str | int], NDArray[np.float32]]
"""A descriptor file, descriptors float32 [N, D], or (ids [N], descriptors)."""


class CollectionRows:
    """The whole pictures of a collection at one moment, to be searched like a descriptor file."""

    def __init__(self, collection: Collection) -> None:
        self.path = collection.path
        self.attributes = {**collection.attributes, **decoder_attribute(decoders_in(collection))}
        self.descriptors = collection.descriptors()
        self.ids = self.descriptors.ids
        self.views = None

    def __enter__(self) -> "CollectionRows":
        return self

    def __exit__(self, *error: object) -> None: ...


def search(
    queries: Searchable,
    references: Searchable | Collection,
    *,
    top: int | None = None,
    k: int | None = None,
    max_distance: float | None = None,
    bundle: PathLike | Bundle | None = None,
    threads: int | None = None,
    device: Device = "auto",
) -> Found:
    """Search references, a descriptor file or a collection, with a descriptor file of queries; references are read by blocks.

    Either may be an array float32 [N, D], whose ids are then the row numbers, or a pair (ids, array), instead of a path.
    Give one of ``top`` (the best pairs over everything, the default with 500,000), ``k`` or ``max_distance``, which is always
    that of the descriptors themselves. Images that have several rows are paired by the two that are alike the most (see
    ``Found.views``). bundle: the one that they were made with; where its manifest has constants for it,
    scores are normalised by its bank (see :mod:`copytrace.engine.score_normalisation`), and pairs found and ordered by that.
    device: "cuda" has a graphics card propose the pairs, "auto" does where there is one and the search is large; the answer is
    the same.
    Raises: StoreError, SearchError; ComparisonError, which is both, for files that do not belong together; BundleError;
    DeviceError and MissingExtraError for "cuda"; ValueError or TypeError for arguments that are not allowed.
    """
    if device not in get_args(Device):
        raise ValueError(f"device must be one of {', '.join(get_args(Device))}, not {device!r}")
    wanted = what_is_wanted(top, k, max_distance)
    threads = None if threads is None else whole_number("threads", threads, 1, MAX_THREADS)
    if bundle is not None and not isinstance(bundle, Bundle):
        bundle = Bundle(file_path("bundle", bundle))
    with _opened("queries", queries, "query") as q, _open_references(references) as r:
        compared = Compared(q, r, bundle, threads)

        def found_by(scanner: Scanner | None) -> Found:
            rows = RowSearch(q.descriptors, r.descriptors, *compared.ranks, compared.offsets, threads, scanner)
            return compared.found(rows, wanted, "cpu" if scanner is None else "cuda")

        try:
            return found_by(_scanner(device, q, r))
        except DeviceError as error:
            if device != "auto":
                raise
            log.warning("searching on the CPU: %s", error)
            return found_by(None)


def what_is_wanted(top: int | None, k: int | None, max_distance: float | None) -> Wanted:
    """Which search these arguments of :func:`search` ask for. Raises: ValueError, TypeError."""
    if sum(value is not None for value in (top, k, max_distance)) > 1:
        raise ValueError("give only one of top, k and max_distance")
    if k is not None:
        return Wanted("nearest", whole_number("k", k, 1))
    if max_distance is not None:
        return Wanted("within", number("max_distance", max_distance, 0.0))
    return Wanted("top", DEFAULT_TOP if top is None else whole_number("top", top, 1))


class Compared:
    """Queries and references that may be compared, their images, and what becomes of pairs of their rows.

    offsets: what the scores of each query's pairs are normalised by; None where they are not. ranks: of all rows' images.
    Raises: ComparisonError; SearchError for an id that occurs twice.
    """

    def __init__(
        self, queries: Descriptors, references: Descriptors, bundle: Bundle | None, threads: int | None
    ) -> None:
        check_comparable(queries, references)
        made_by = (name for file in (queries, references) if file.attributes for name in decoders_of(file.attributes))
        if said := mixed(made_by):
            log.warning("%s and %s: %s", queries.path, references.path, said)
        self._files = (queries, references)
        self.images = (_images(queries), _images(references))
        self.ranks = (self.images[0].row_ranks, self.images[1].row_ranks)
        self.offsets = None if bundle is None else score_offsets(queries, bundle, threads)
        self._origin = origin(queries, references) | _normalised(bundle)

    def found(self, rows: RowSearches, wanted: Wanted, device: Device) -> Found:
        """The answer by a search of the rows, which has the offsets; device: who proposed pairs there."""
        (q, r), (a, b) = self._files, self.images
        if q.views is None and r.views is None:
            return Found(answer(rows, wanted), a.ids, b.ids, self._origin, device=device)
        found = answer(ImageSearch(rows, a, b), wanted)
        views = [(_label(q, i), _label(r, j)) for i, j in zip(found.query_rows, found.reference_rows, strict=True)]
        return Found(found.pairs, a.ids, b.ids, self._origin, views, device)


def _scanner(device: Device, queries: Descriptors, references: Descriptors) -> Scanner | None:
    """The graphics card where it is asked for, or where there is one and the search is worth it.

    Raises: DeviceError, MissingExtraError.
    """
    columns = int(references.descriptors.shape[1])
    products = queries.descriptors.shape[0] * references.descriptors.shape[0] * columns
    if device == "cpu" or (device == "auto" and products < _WORTH_A_CARD):
        return None
    try:
        return CardScanner(columns)
    except (DeviceError, MissingExtraError) as error:
        if device == "cuda":
            raise
        log.info("searching on the CPU: %s", error)
        return None


def _label(file: Descriptors, row: int) -> str:
    return WHOLE if file.views is None else file.views[row]


def _normalised(bundle: Bundle | None) -> dict[str, str]:
    constants = bundle and bundle.manifest.score_normalisation
    return {"scores": f"normalised (alpha {constants.alpha:g}, n {constants.n})"} if constants else {}


def _open_references(given: Searchable | Collection) -> DescriptorFile | DescriptorArray | CollectionRows:
    """A folder is taken for a collection. Raises: StoreError, TypeError, ValueError."""
    if isinstance(given, Collection):
        return CollectionRows(given)
    if isinstance(given, str | os.PathLike) and file_path("references", given).is_dir():
        with Collection.open(given) as collection:
            return CollectionRows(collection)
    return _opened("references", given, "reference")


def _opened(name: str, given: Searchable, role: Role) -> DescriptorFile | DescriptorArray:
    if isinstance(given, str | os.PathLike):
        return open_descriptors(file_path(name, given), role)
    if isinstance(given, tuple) and len(given) == 2:
        return in_memory(name, given[1], given[0])
    return in_memory(name, given)


def _images(file: Descriptors) -> Images:
    try:
        return Images.of(file.ids, file.views)
    except SearchError as error:
        raise SearchError(f"{file.path}: {error}") from None


def save_pairs(found: Found, path: PathLike) -> None:
    """Write ``pairs.csv`` whole or not at all.

    Raises: StoreError, also when there is a file of another kind at ``path``.
    """
    if not isinstance(found, Found):
        raise TypeError(f"found must be what search gives, not {type(found).__name__}")
    path = file_path("path", path)
    check_output(path, PAIRS)
    with replacing(path) as temporary:
        write_pairs(temporary, found.queries(), found.references(), found.pairs.scores)
