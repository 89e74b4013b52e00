"""Rows of local features as product codes of 32 bytes, kept by faiss in the lists of a coarse quantiser."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _match
from ..errors import optional_module

PRODUCT_BYTES = 32


class ProductLists:
    """What ``_match.Lists`` is for whole rows; distances are those to the codes.

    centroids: uint8 [lists, 128]. product: codebook, float32 [32, 256, 4]. Raises: MissingExtraError.
    """

    def __init__(self, centroids: NDArray[np.uint8], product: NDArray[np.float32]) -> None:
        self._faiss = faiss = optional_module("faiss", "cpu", "gpu")
        self._coarse = _match.Quantiser(centroids)
        lists, dimension = centroids.shape
        self._never_asked: Any = faiss.IndexFlatL2(dimension)  # faiss keeps no reference to it
        self._index = faiss.IndexIVFPQ(self._never_asked, dimension, lists, PRODUCT_BYTES, 8)
        self._index.by_residual = False
        faiss.copy_array_to_vector(product.ravel(), self._index.pq.centroids)
        self._index.is_trained = True
        self._index.precompute_table()
        self._index.nprobe = 2

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def reserve(self, samples: Iterable[NDArray[np.uint8]], share: int) -> None:
        """Make room in every list for ``share`` times as many rows as the samples, uint8 [F, 128] each, have there, and for two
        standard errors of that.

        Lists that grow row by row double, which leaves a third of the memory unused.
        """
        lists = self._index.nlist
        counts = np.zeros(lists, np.int64)
        for sample in samples:
            counts += np.bincount(self._coarse.nearest(sample)[0][:, 0], minlength=lists)
        margin = 2.0 * np.sqrt(counts) if share > 1 else 0.0
        for number, count in enumerate(np.ceil(share * (counts + margin)).astype(np.int64).tolist()):
            held = self._index.invlists.list_size(number)
            self._index.invlists.resize(number, max(held, count))
            self._index.invlists.resize(number, held)  # which gives nothing back

    def add(self, descriptors: NDArray[np.uint8], numbers: NDArray[np.int64], *, threads: int = 1) -> None:
        """Add descriptors uint8 [F, 128] under numbers int64 [F] that are not there yet."""
        lists = self._coarse.nearest(descriptors, threads=threads)[0][:, 0].astype(np.int64)
        values, pointer = descriptors.astype(np.float32), self._faiss.swig_ptr
        self._faiss.omp_set_num_threads(threads)
        self._index.add_core(len(values), pointer(values), pointer(numbers), pointer(lists))

    def remove(self, numbers: NDArray[np.int64]) -> int:
        """Forget rows by their numbers; returns how many there were."""
        return int(self._index.remove_ids(self._faiss.IDSelectorBatch(numbers)))

    def nearest(
        self, descriptors: NDArray[np.uint8], most: int, *, threads: int = 1
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Squared distances, ascending, and numbers [F, most] of the nearest rows in two lists, -1 where there are fewer."""
        self._faiss.omp_set_num_threads(threads)
        lists, far = self._coarse.nearest(descriptors, threads=threads)
        values = descriptors.astype(np.float32)
        found = self._index.search_preassigned(values, most, lists.astype(np.int64), far.astype(np.float32))
        return found[0], found[1]
