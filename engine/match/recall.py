"""Local recall: the references that the most local features of a query vote for, out of all.

A feature votes for the owner of its nearest row, the more the farther away the nearest row of *another* reference is: an
absolute distance says little, and a reference's own repeated features are no rivals. Every variant of the query votes for
itself. Rows lie in a faiss index, exact or behind a coarse quantiser that comes from a file; a row's number says whose it is.
Which lists a row belongs to, and which two are looked through for it, the native core tells, in a tenth of faiss's time.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _match
from ..errors import MatchError, optional_module
from . import variants
from .features import DESCRIPTOR, MOST_FEATURES, LocalFeatures
from .variants import Variant

RATIO = 0.9
NEIGHBOURS = 5
FLAT_ROWS = 20_000
"""Up to here every row is looked at."""
PRODUCT_ROWS = 20_000_000
"""From here on rows are kept as 32 bytes of product codes instead of 128."""
PRODUCT_BYTES = 32

_ROWS_PER_LIST = 1000.0  # wanted of a coarse quantiser
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
    """What an index of so many rows takes: their codes and their numbers (8 bytes) where lists are used."""
    if rows <= FLAT_ROWS:
        return rows * (DESCRIPTOR + 8)
    return rows * ((DESCRIPTOR if rows < PRODUCT_ROWS else PRODUCT_BYTES) + 8)


def index_kind(rows: int, quantisers: Quantisers) -> str:
    """The kind of index for so many rows, in faiss's words; nothing else decides it."""
    if rows <= FLAT_ROWS:
        return "flat"
    return f"IVF{quantisers.choose(rows)},{'SQ8' if rows < PRODUCT_ROWS else f'PQ{PRODUCT_BYTES}'}"


class LocalIndex:
    """Local features of references, numbered by whoever adds them, to vote for.

    rows: about how many there will be, which decides the kind of index. threads: of one search.
    Attributes: ``kind``, in faiss's words. Raises: MissingExtraError.
    """

    def __init__(self, rows: int, quantisers: Quantisers, *, threads: int = 1) -> None:
        self._faiss = optional_module("faiss", "cpu", "gpu")
        self._threads = threads
        self._coarse: _match.Quantiser | None = None
        self.kind = index_kind(rows, quantisers)
        if rows <= FLAT_ROWS:
            self._index = self._flat()
        else:
            self._index = self._lists(quantisers, quantisers.choose(rows), product=rows >= PRODUCT_ROWS)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, owners: Iterable[int], features: Iterable[LocalFeatures]) -> None:
        """Add the features of references with these numbers, each 0 or more and not there yet."""
        pairs = [(owner, one) for owner, one in zip(owners, features, strict=True) if len(one)]
        if not pairs:
            return
        rows = np.concatenate([one.descriptors for _, one in pairs])
        numbers = np.concatenate([(owner << _OWNER_SHIFT) + np.arange(len(one)) for owner, one in pairs])
        numbers = numbers.astype(np.int64)
        if self._coarse is None:
            self._index.add_with_ids(rows.astype(np.float32), numbers)
            return
        lists = self._coarse.nearest(rows, threads=self._threads)[0][:, 0].astype(np.int64)
        values, pointer = rows.astype(np.float32), self._faiss.swig_ptr
        self._index.add_core(len(values), pointer(values), pointer(numbers), pointer(lists))

    def remove(self, owners: Iterable[int]) -> int:
        """Forget references; returns the number of rows that are gone."""
        ranges = [np.arange(MOST_FEATURES) + (owner << _OWNER_SHIFT) for owner in owners]
        if not ranges:
            return 0
        numbers = np.concatenate(ranges).astype(np.int64)
        return int(self._index.remove_ids(self._faiss.IDSelectorBatch(numbers)))

    def nearest(self, rows: NDArray[np.uint8], count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The features nearest to rows uint8 [F, 128]: squared distances float32 [F, count], ascending, and their owners
        int64 [F, count], -1 where there are fewer."""
        if not len(rows) or not len(self):
            return np.full((len(rows), count), np.inf, np.float32), np.full((len(rows), count), -1, np.int64)
        self._faiss.omp_set_num_threads(self._threads)
        distances, numbers = self._nearest(rows, count)
        return distances, numbers >> _OWNER_SHIFT

    def votes(self, query: LocalFeatures) -> dict[int, float]:
        """Owner -> votes, of the variant with the most for it; only owners that any feature votes for."""
        if not len(query) or not len(self):
            return {}
        rows = np.concatenate([variants.descriptors(query.descriptors, variant) for variant in Variant])
        owner, weight = vote(*self.nearest(rows, NEIGHBOURS))
        best: dict[int, float] = {}
        for variant in range(len(Variant)):
            part = slice(variant * len(query), (variant + 1) * len(query))
            names, place = np.unique(owner[part], return_inverse=True)
            for name, total in zip(names.tolist(), np.bincount(place, weight[part]).tolist(), strict=True):
                if name >= 0 and total > best.get(name, 0.0):
                    best[name] = total
        return best

    def _nearest(self, rows: NDArray[np.uint8], count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Squared distances and numbers [F, count] of the nearest rows that are looked at."""
        values = rows.astype(np.float32)
        if self._coarse is None:
            found = self._index.search(values, count)
        else:
            lists, far = self._coarse.nearest(rows, threads=self._threads)
            found = self._index.search_preassigned(values, count, lists.astype(np.int64), far.astype(np.float32))
        return found[0], found[1]

    def _flat(self) -> Any:
        quantizer = self._faiss.ScalarQuantizer.QT_8bit_direct
        flat = self._faiss.IndexScalarQuantizer(DESCRIPTOR, quantizer, self._faiss.METRIC_L2)
        flat.is_trained = True
        return self._faiss.IndexIDMap(flat)

    def _lists(self, quantisers: Quantisers, lists: int, *, product: bool) -> Any:
        faiss = self._faiss
        self._coarse = _match.Quantiser(quantisers.coarse[lists])
        self._empty = coarse = faiss.IndexFlatL2(DESCRIPTOR)  # never asked; faiss keeps no reference to it
        if product:
            index = faiss.IndexIVFPQ(coarse, DESCRIPTOR, lists, PRODUCT_BYTES, 8)
            index.by_residual = False
            faiss.copy_array_to_vector(quantisers.product.ravel(), index.pq.centroids)
            index.is_trained = True
            index.precompute_table()
        else:
            direct = faiss.ScalarQuantizer.QT_8bit_direct
            index = faiss.IndexIVFScalarQuantizer(coarse, DESCRIPTOR, lists, direct, faiss.METRIC_L2, False)
            index.is_trained = True
        index.nprobe = 2
        return index


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
