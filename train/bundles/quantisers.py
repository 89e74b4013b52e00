"""Makes the quantisers of local recall: ``python -m copytrace.train.bundles.quantisers PHOTOGRAPHS -o quantisers.npz``.

k-means over the local features of photographs, once for every number of lists, and product codes of 32 x 256 centroids. Many
lists are made in two steps, by k-means within each of fewer clusters. It needs no labels, and the photographs should be none
of those that will be references.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copytrace.engine.errors import optional_module
from copytrace.engine.match.features import DESCRIPTOR, REFERENCE_FEATURES, extract
from copytrace.engine.match.recall import PRODUCT_BYTES, Quantisers
from copytrace.engine.read import Source, open_source

from ..data.pictures import load
from .matching_files import save_fitted

ITERATIONS = 12
PER_CENTROID = 64  # training rows; more change little
LISTS_AT_ONCE = 4096
_PARTS = 16  # that a cluster is split into, where there are more lists


def sample_rows(source: Source, count: int, seed: int) -> NDArray[np.uint8]:
    """Descriptors uint8 [n, 128] of ``count`` photographs of a source, all of them if fewer."""
    order = np.random.default_rng(seed).permutation(len(source))[:count]
    return np.concatenate([extract(load(source[int(i)]), REFERENCE_FEATURES).descriptors for i in order])


def make_quantisers(rows: NDArray[np.uint8], lists: list[int], seed: int = 0) -> Quantisers:
    """Centroids in bytes for every number of lists, and the product codebook."""
    faiss = optional_module("faiss", "cpu", "gpu")
    values = rows[np.random.default_rng(seed).permutation(len(rows))].astype(np.float32)
    coarse = {count: _centroids(values, count, seed) for count in lists}
    product = faiss.ProductQuantizer(DESCRIPTOR, PRODUCT_BYTES, 8)
    product.train(values[: 256 * 4 * PER_CENTROID])
    codebook = faiss.vector_to_array(product.centroids).reshape(PRODUCT_BYTES, 256, DESCRIPTOR // PRODUCT_BYTES)
    return Quantisers(coarse, codebook)


def _centroids(values: NDArray[np.float32], count: int, seed: int) -> NDArray[np.uint8]:
    """uint8 [count, 128] of rows float32 [n, 128]. Raises: ValueError when there are fewer rows than that."""
    if len(values) < count:
        raise ValueError(f"{len(values)} local features are too few for {count} lists")
    if count <= LISTS_AT_ONCE:
        means = _k_means(values, count, seed)
    else:
        values = values[: count * PER_CENTROID]
        nearest = optional_module("faiss", "cpu", "gpu").knn(values, _k_means(values, count // _PARTS, seed), 1)[1][
            :, 0
        ]
        shares = _shares(np.bincount(nearest), count)
        means = np.concatenate(
            [_k_means(values[nearest == top], share, seed) for top, share in enumerate(shares) if share]
        )
    return np.clip(np.rint(means), 0, 255).astype(np.uint8)


def _k_means(values: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    means = optional_module("faiss", "cpu", "gpu").Kmeans(
        DESCRIPTOR, count, niter=ITERATIONS, seed=seed, min_points_per_centroid=1, max_points_per_centroid=PER_CENTROID
    )
    means.train(values)
    return np.asarray(means.centroids)


def _shares(sizes: NDArray[np.int64], count: int) -> list[int]:
    """``count`` shared out as the sizes are, at least 1 to whatever is not empty and never more than its size."""
    shares = np.where(sizes > 0, np.maximum(1, sizes * count // sizes.sum()), 0)
    while shares.sum() < count:
        shares[np.argmax(sizes / np.maximum(shares, 1))] += 1
    while shares.sum() > count:
        shares[np.argmin(np.where(shares > 1, sizes / np.maximum(shares, 1), np.inf))] -= 1
    return [int(share) for share in shares]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="A file, or the bundle to put them in.")
    parser.add_argument("--count", type=int, default=2500, help="photographs looked at")
    parser.add_argument("--lists", type=int, nargs="+", default=[256, 1024, 4096, 16384])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = sample_rows(open_source(args.photographs), args.count, args.seed)
    save_fitted(args.output, "quantisers", make_quantisers(rows, args.lists, args.seed).save)
    print(f"{len(rows)} local features, lists {args.lists}: {args.output}")


if __name__ == "__main__":
    main()
