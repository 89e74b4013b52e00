"""Joins collections and matching: the rows of crops that a collection keeps beside those of the whole references."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .alike import CROPS
from .collection import Collection, Descriptors, is_collection
from .errors import CollectionError, MatchError
from .match.views import CROP_LABELS

COST = f"{len(CROP_LABELS)} more passes through the network and {len(CROP_LABELS)} more rows to store and search"
"""Of one reference with crops, in words."""
CROPS_FORM = 1
"""Of the rows of crops in a descriptor file; goes up with the layout of crops."""


def check_crops(path: object, kept: bool, wanted: bool | None) -> bool:
    """Whether references have crops, by what the collection at ``path`` keeps and what is wished, None for no wish.

    Raises: CollectionError for a wish against what it keeps.
    """
    if wanted is None or wanted == kept:
        return kept
    what = "crops of every reference" if kept else "no crops of references"
    raise CollectionError(f"{path}: keeps {what}, which is fixed when a collection is made")


def will_make_crops(folder: Path, wanted: bool | None) -> bool:
    """Whether crops are made of what is added, by the wish and by the collection that may be there."""
    if not is_collection(folder):
        return bool(wanted)
    with Collection.open(folder) as opened:
        kept = opened.properties.get(CROPS, bool(wanted) and not len(opened))
    return bool(kept) and wanted is not False


def has_crops(views: Sequence[str]) -> bool:
    """Whether all crops are among the names of a reference's views."""
    return set(CROP_LABELS) <= set(views)


def stored_crops(collection: Collection, descriptors: Descriptors, ids: Sequence[str]) -> Descriptors:
    """The rows of the crops of these references, in order, nine of each; not read yet. descriptors: of all views.

    Raises: MatchError unless all of them have their crops.
    """
    wanted, labels = set(ids), set(CROP_LABELS)
    pairs = enumerate(zip(descriptors.ids, descriptors.views, strict=True))
    crops = descriptors.only(np.array([n for n, (name, view) in pairs if view in labels and name in wanted], np.int64))
    if crops.views == list(CROP_LABELS) * len(ids) and crops.ids == [name for name in ids for _ in CROP_LABELS]:
        return crops
    found: dict[str, list[str]] = {name: [] for name in ids}
    for name, view in zip(crops.ids, crops.views, strict=True):
        found[name].append(view)
    lacking = [name for name, views in found.items() if views != list(CROP_LABELS)]
    raise MatchError(
        f"{collection.path}: {len(lacking)} of {len(ids)} references have no crops, the first is {lacking[0]!r}; "
        "collection add with the same images brings them"
    )
