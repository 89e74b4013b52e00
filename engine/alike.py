"""Whether descriptors belong into a collection: all in it were made alike, and so is what they are compared with."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast, get_args

from .collection import Collection, is_collection
from .decoded_by import CPU, mixed
from .embedder import Output
from .errors import CollectionError
from .manifest import Precision

log = logging.getLogger(__name__)

OUTPUT: Output = "projected"
"""What is kept of references: descriptors that are not moved away from the bank."""
DECIDING = ("space", "bundle", "precision", "output")
"""The attributes that must be the same for descriptors to be in one collection."""
FEATURES = "features"
"""The property that says whether local features are kept of what is added."""
CROPS = "crops"
"""The property that says whether rows of nine crops are kept beside each whole one; fixed when the collection is made."""
DECODERS = "decoders"
"""The property that says who decoded the pixels, a list, where that was not the CPU alone; see ``decoded_by``."""
MATCHING = "matching"
"""The property that says by which constants and quantisers it is matched with; the bundle's hash of the name."""


def open_collection(
    path: str | os.PathLike[str],
    dimension: int,
    attributes: Mapping[str, Any],
    *,
    properties: Mapping[str, Any] | None = None,
    auto_compact: bool = True,
) -> Collection:
    """Open a collection for descriptors made like this, or make one, with ``properties``, where there is none.

    auto_compact: see ``Collection``.

    Raises: CollectionError, also when its descriptors were made in another way.
    """
    path = Path(path)
    if not is_collection(path):
        made = {name: str(value) for name, value in attributes.items()}
        return Collection.create(path, dimension, made, properties=properties, auto_compact=auto_compact)
    collection = Collection.open(path, write=True, auto_compact=auto_compact)
    try:
        check_alike(collection, dimension, attributes)
    except BaseException:
        collection.close()
        raise
    return collection


def check_alike(collection: Collection, dimension: int, attributes: Mapping[str, Any]) -> None:
    """Raises: CollectionError unless descriptors with these attributes belong into the collection."""
    kept = collection.attributes
    for name in DECIDING:
        if kept.get(name) != attributes.get(name):
            known, given = (str(values.get(name, "unknown"))[:12] for values in (kept, attributes))
            raise CollectionError(f"{collection.path}: its descriptors are of another {name}: {known}, not {given}")
    if collection.dimension != dimension:
        raise CollectionError(
            f"{collection.path}: its descriptors have {collection.dimension} numbers, not {dimension}"
        )


def decoders_in(collection: Collection) -> set[str]:
    """Who decoded the pixels of what a collection holds."""
    told = collection.properties.get(DECODERS)
    return set(told) if told else {CPU} if len(collection) else set()


def note_decoders(collection: Collection, decoders: Iterable[str]) -> None:
    """Keep in mind who decoded the pixels of what is about to be added, and say where that makes them mixed."""
    before = decoders_in(collection)
    after = before.union(decoders)
    if after == before:
        return
    if said := mixed(after):
        log.warning("%s: %s", collection.path, said)
    if after != {CPU}:
        collection.set_properties(**{DECODERS: sorted(after)})


def precision_of(path: str | os.PathLike[str]) -> Precision:
    """What a collection that is there was made with; "int8" where there is none, or it does not say.

    Raises: CollectionError, also for a precision that this version does not know.
    """
    if not is_collection(Path(path)):
        return "int8"
    with Collection.open(path) as collection:
        precision = collection.attributes.get("precision", "int8")
    if precision not in get_args(Precision):
        raise CollectionError(
            f"{path}: its descriptors were made with the precision {precision!r}, which this version does not know"
        )
    return cast(Precision, precision)
