"""Fitting linear maps: PCA of un-attacked images, and whitening learnt from what attacks do to features."""

import numpy as np
from numpy.typing import NDArray

from copytrace.engine.errors import optional_module

Float32 = NDArray[np.float32]


def fit_pca(embeddings: Float32, dimension: int) -> tuple[Float32, Float32, Float32]:
    """Embeddings [N, E] -> mean [E], components [D, E], eigenvalues [D] of the covariance, largest first; by faiss.

    Each component's largest entry is positive, so that a fit does not depend on the solver's choice of signs.
    Source: the descriptor system of ISC2021's second place, section 2.6.
    Raises: ValueError when there are too few images or directions without variance among the first ``dimension``.
    """
    faiss = optional_module("faiss", "cpu", "gpu")
    count, width = embeddings.shape
    if count <= dimension:
        raise ValueError(f"{count} images cannot give {dimension} components; take more images")
    if dimension > width:
        raise ValueError(f"embeddings of {width} numbers cannot give {dimension} components")
    mean = embeddings.mean(axis=0, dtype=np.float64)
    centred = (embeddings - mean).astype(np.float32)
    pca = faiss.PCAMatrix(width, dimension)
    pca.max_points_per_d = count  # all of them, no sample
    pca.train(centred)
    components = faiss.vector_to_array(pca.PCAMat).reshape(-1, width)[:dimension]
    values = np.square(centred @ components.T, dtype=np.float64).sum(axis=0) / (count - 1)
    if values[-1] <= 1e-9 * values[0]:
        raise ValueError(f"the embeddings vary in fewer than {dimension} directions")
    signs = np.sign(components[np.arange(dimension), np.abs(components).argmax(axis=1)])
    return mean.astype(np.float32), components * signs[:, None], values.astype(np.float32)


def identity_projection(dimension: int) -> tuple[Float32, Float32, Float32]:
    """The projection that leaves embeddings as they are, but for their length: mean, components, eigenvalues."""
    return np.zeros(dimension, np.float32), np.eye(dimension, dtype=np.float32), np.ones(dimension, np.float32)


def learned_whitening(
    features: NDArray[np.floating], dimension: int, shrinkage: float = 0.3
) -> tuple[Float32, Float32]:
    """Features [N, V, F] of N photographs in V views each -> mean [F] and map [D, F].

    First, what differs between the views of one photograph is made round and small: with C its covariance, shrunk towards a
    multiple of the identity, features are multiplied by the inverse of C's Cholesky factor. Then the D directions are kept in
    which the photographs' means differ most. Source: Mikolajczyk and Matas 2007, as used for retrieval by Radenovic et al.
    2019.
    Raises: ValueError when there are too few photographs.
    """
    count, views, width = features.shape
    if min(count - 1, width) < dimension or views < 2:
        raise ValueError(f"{count} photographs in {views} views cannot give {dimension} whitened directions; take more")
    within, between = np.zeros((width, width)), np.zeros((width, width))
    total = np.zeros(width)
    for start in range(0, count, 512):
        part = features[start : start + 512].astype(np.float32)
        means = part.mean(axis=1)
        rest = (part - means[:, None]).reshape(-1, width)
        within += rest.T @ rest
        between += means.T @ means
        total += means.sum(axis=0, dtype=np.float64)
    within /= count * views
    between = between / count - np.outer(total, total) / count**2
    within += shrinkage * np.trace(within) / width * np.eye(width)
    whiten = np.linalg.inv(np.linalg.cholesky(within))
    _, vectors = np.linalg.eigh(whiten @ between @ whiten.T)
    mean = features[:, 0].astype(np.float32).mean(axis=0)
    return mean, (vectors[:, ::-1][:, :dimension].T @ whiten).astype(np.float32)
