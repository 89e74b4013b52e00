"""What a collection keeps of every reference beside the row of the whole picture: local features, and rows of crops."""

from .alike import CROPS, FEATURES
from .collection import Collection
from .errors import CollectionError
from .stored_crops import check_crops
from .stored_looks import KINDS


def keeps_crops(collection: Collection, wanted: bool | None) -> bool:
    """Whether crops are to be made, by what the collection does; an empty one that does not say it yet is told.

    Raises: CollectionError when something else is wished.
    """
    kept = collection.properties.get(CROPS)
    if kept is None and not len(collection):
        kept = bool(wanted)
        collection.set_properties(**{CROPS: kept})
    return check_crops(collection.path, bool(kept), wanted)


def keeps_features(collection: Collection, wanted: bool | None) -> bool:
    """Whether local features are to be made, by what is wished and what the collection does; from then on it does so.

    Raises: CollectionError when they are to be left out of a collection that keeps them.
    """
    there = bool(collection.properties.get(FEATURES, not len(collection)))
    if wanted is None or wanted == there:
        return there
    if not wanted:
        raise CollectionError(
            f"{collection.path}: keeps local features of every reference; they cannot be left out of some"
        )
    collection.set_properties(**{FEATURES: True})
    return True


def incomplete(collection: Collection, ids: set[str]) -> set[str]:
    """Those of the references that lack what a second look needs, or have it in another form."""
    wanted = sorted(ids)
    return {
        name
        for kind, form in KINDS.items()
        for name, version in collection.blob_versions(kind, wanted)
        if version != form
    }
