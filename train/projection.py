"""Fitting the projection: PCA of un-attacked training images, whitened by the square roots of the eigenvalues."""

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


def fit_pca(embeddings: Float32, dimension: int) -> tuple[Float32, Float32, Float32]:
    """Embeddings [N, E] -> mean [E], components [D, E], eigenvalues [D] of the covariance, largest first.

    Each component's largest entry is positive, so that a fit does not depend on the solver's choice of signs.
    Source: the descriptor system of ISC2021's second place, section 2.6.
    Raises: ValueError when there are too few images or directions without variance among the first ``dimension``.
    """
    mean = embeddings.mean(axis=0, dtype=np.float64)
    centred = embeddings - mean
    if len(centred) <= dimension:
        raise ValueError(f"{len(centred)} images cannot give {dimension} components; take more images")
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(centred) - 1))
    values, components = values[::-1][:dimension], vectors.T[::-1][:dimension]
    if values[-1] <= 1e-12 * values[0]:
        raise ValueError(f"the embeddings vary in fewer than {dimension} directions")
    signs = np.sign(components[np.arange(dimension), np.abs(components).argmax(axis=1)])
    return mean.astype(np.float32), (components * signs[:, None]).astype(np.float32), values.astype(np.float32)
