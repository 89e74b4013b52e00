"""Local recall: the references that the most local features of a query vote for, out of all.

A feature votes for the owner of its nearest row, the more the farther away the nearest row of *another* reference is: an
absolute distance says little, and a reference's own repeated features are no rivals. Every variant of the query votes for
itself. Rows lie whole in the native core, all in one list or behind a coarse quantiser that comes from a file; very many lie as
product codes in faiss. A row's number says whose it is.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _match
from ..errors import MatchError
from . import variants
from .features import DESCRIPTOR, MOST_FEATURES, LocalFeatures
from .product_lists import PRODUCT_BYTES, ProductLists
from .variants import Variant

RATIO = 0.9
NEIGHBOURS = 5
FLAT_ROWS = 20_000
"""Up to here every row is looked at."""
PRODUCT_ROWS = 20_000_000
"""From here on rows are kept as 32 bytes of product codes instead of 128."""

_ROWS_PER_LIST = 1000.0  # wanted of a coarse quantiser
_ROWS_PER_LIST_SAMPLED = 256  # tell its length: two standard errors are an eighth of it
_OWNER_SHIFT = MOST_FEATURES.bit_length()  # a row's number is its owner's, shifted, plus the feature's own

Centroids = NDArray[np.uint8]


class Quantisers:
    """Coarse quantisers, uint8 [lists, 128] each, and a product codebook, float32 [32, 256, 4]; trained once, on photographs
    that are no references, so that what an index answers never depends on what was added to it first.
    """

    def __init__(self, coarse: Mapping[int, Centroids], product: NDArray[np.float32]) -> None:
        self.coarse = dict(sorted(coarse.items()))
        self.product = product

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Quantisers":
        """Raises: MatchError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except Exception as error:  # numpy and zipfile raise whatever damage leads them to
            raise MatchError(f"{path}: not a file of quantisers: {' '.join(str(error).split())}") from None
        product = arrays.pop("product", None)
        shape = (PRODUCT_BYTES, 256, DESCRIPTOR // PRODUCT_BYTES)
        good = product is not None and product.shape == shape and product.dtype == np.float32
        if (
            not arrays
            or not good
            or not np.isfinite(product).all()
            or not all(_is_coarse(*item) for item in arrays.items())
        ):
            raise MatchError(f"{path}: not a file of quantisers: arrays of other names, shapes or values")
        coarse = {len(centroids): centroids for centroids in arrays.values()}
        return cls(coarse, product)

    def save(self, path: Path) -> None:
        arrays: dict[str, Any] = {f"coarse{lists}": centroids for lists, centroids in self.coarse.items()}
        with path.open("wb") as file:
            np.savez_compressed(file, product=self.product, **arrays)

    def choose(self, rows: int) -> int:
        """The number of lists for so many rows: the nearest there is, by ratio, to a thousand rows a list."""
        wanted = np.log(max(1.0, rows / _ROWS_PER_LIST))
        return min(self.coarse, key=lambda lists: (abs(np.log(lists) - wanted), lists))


def _is_coarse(name: str, array: NDArray[Any]) -> bool:
    lists = len(array) if array.ndim == 2 else 0
    return name == f"coarse{lists}" and lists > 0 and array.shape[1] == DESCRIPTOR and array.dtype == np.uint8


def memory_bytes(rows: int) -> int:
    """What an index of so many rows takes: each row or its code, its number (8 bytes) and, of a whole row, its length (4).

    Room for more comes to an eighth of it; in a product index, which is faiss's, to half of it unless it is reserved before.
    """
    return rows * (PRODUCT_BYTES + 8 if rows >= PRODUCT_ROWS else DESCRIPTOR + 12)


def sample_step(rows: int, quantisers: Quantisers) -> int:
    """Of how many references one is enough to tell how long the lists of an index of so many rows will be."""
    return max(1, rows // (_ROWS_PER_LIST_SAMPLED * quantisers.choose(rows)))


def index_kind(rows: int, quantisers: Quantisers) -> str:
    """The kind of index for so many rows, in faiss's words; nothing else decides it."""
    if rows <= FLAT_ROWS:
        return "flat"
    return f"IVF{quantisers.choose(rows)},{'SQ8' if rows < PRODUCT_ROWS else f'PQ{PRODUCT_BYTES}'}"


class LocalIndex:
    """Local features of references, numbered by whoever adds them, to vote for.

    rows: about how many there will be, which decides the kind of index. threads: of adding and of one search.
    Attributes: ``kind``, in faiss's words. Raises: MissingExtraError.
    """

    def __init__(self, rows: int, quantisers: Quantisers, *, threads: int = 1) -> None:
        self._threads = threads
        self.kind = index_kind(rows, quantisers)
        self._rows: _match.Lists | ProductLists
        if rows <= FLAT_ROWS:
            self._rows = _match.Lists(np.zeros((1, DESCRIPTOR), np.uint8))
        elif rows < PRODUCT_ROWS:
            self._rows = _match.Lists(quantisers.coarse[quantisers.choose(rows)])
        else:
            self._rows = ProductLists(quantisers.coarse[quantisers.choose(rows)], quantisers.product)

    def __len__(self) -> int:
        return len(self._rows)

    def reserve(self, samples: Iterable[Sequence[LocalFeatures]], share: int) -> None:
        """Make room for ``share`` times the features of these references, which stand for all that will be added at first."""
        if isinstance(self._rows, ProductLists):
            parts = (np.concatenate([one.descriptors for one in sample]) for sample in samples)
            self._rows.reserve(parts, share)

    def add(self, owners: Iterable[int], features: Iterable[LocalFeatures]) -> None:
        """Add the features of references with these numbers, each 0 or more and not there yet."""
        pairs = [(owner, one) for owner, one in zip(owners, features, strict=True) if len(one)]
        if not pairs:
            return
        rows = np.concatenate([one.descriptors for _, one in pairs])
        numbers = np.concatenate([(owner << _OWNER_SHIFT) + np.arange(len(one)) for owner, one in pairs])
        self._rows.add(rows, numbers.astype(np.int64), threads=self._threads)

    def remove(self, owners: Iterable[int]) -> int:
        """Forget references; returns the number of rows that are gone."""
        ranges = [np.arange(MOST_FEATURES) + (owner << _OWNER_SHIFT) for owner in owners]
        return self._rows.remove(np.concatenate(ranges).astype(np.int64)) if ranges else 0

    def nearest(self, rows: NDArray[np.uint8], count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The features nearest to rows uint8 [F, 128]: squared distances float32 [F, count], ascending, and their owners
        int64 [F, count], infinite and -1 where there are fewer."""
        distances, numbers = self._rows.nearest(rows, count, threads=self._threads)
        return np.where(numbers < 0, np.inf, distances).astype(np.float32), numbers >> _OWNER_SHIFT

    def votes(self, queries: Sequence[LocalFeatures]) -> list[dict[int, float]]:
        """For each query owner -> votes, of the variant with the most for it; only owners that any feature votes for.

        The more queries are asked together, the less time each takes: what lies in a list is read once for all of them.
        """
        parts = [variants.descriptors(query.descriptors, variant) for query in queries for variant in Variant]
        if not parts:
            return []
        owners, weights = vote(*self.nearest(np.concatenate(parts), NEIGHBOURS))
        ends = np.cumsum([len(part) for part in parts])[:-1]
        pairs = list(zip(np.split(owners, ends), np.split(weights, ends), strict=True))
        return [_most_of(pairs[i : i + len(Variant)]) for i in range(0, len(pairs), len(Variant))]


def _most_of(variants_votes: Iterable[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> dict[int, float]:
    """Owner and weight of every feature, by variant -> owner -> the largest sum."""
    best: dict[int, float] = {}
    for owner, weight in variants_votes:
        names, place = np.unique(owner, return_inverse=True)
        for name, total in zip(names.tolist(), np.bincount(place, weight).tolist(), strict=True):
            if name >= 0 and total > best.get(name, 0.0):
                best[name] = total
    return best


def vote(
    distances: NDArray[np.float32], owners: NDArray[np.int64], ratio: float = RATIO
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nearest rows of every feature, squared distances [F, K] ascending and owners [F, K] (-1: none) -> owner and weight [F].

    weight = 1 - d / e with d the distance of the nearest row and e that of the nearest of another owner, or, where all K have
    one owner, of the last; owner -1 and weight 0 where d is not below ``ratio`` times e.
    """
    distance = np.sqrt(np.maximum(distances.astype(np.float64), 0.0))
    distance[owners < 0] = np.inf
    rival = np.where(owners != owners[:, :1], distance, np.inf).min(axis=1)
    last = np.where(np.isfinite(distance), distance, -np.inf).max(axis=1)
    rival = np.where(np.isfinite(rival), rival, last)
    nearest = distance[:, 0]
    good = (owners[:, 0] >= 0) & (nearest < ratio * rival)
    weight = np.where(good, 1.0 - np.where(good, nearest, 0.0) / np.where(good, rival, 1.0), 0.0)
    return np.where(good, owners[:, 0], -1), weight


def most_voted(votes: Mapping[int, float], count: int) -> list[int]:
    """The ``count`` owners with the most votes, best first; ties by number."""
    return sorted(votes, key=lambda owner: (-votes[owner], owner))[:count]
