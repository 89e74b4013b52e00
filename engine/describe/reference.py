"""The definition of correct: projection and query normalisation in plain numpy, computed in float64.

Formulas: the descriptor system of ISC2021's second place, sections 2.6 and 2.7.
"""

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

SHORTEST = 1e-30


def unit(rows: Float64) -> Float64:
    """Rows scaled to unit length; rows shorter than 1e-30 have no direction and become zeros."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    result: Float64 = np.divide(rows, length, out=np.zeros_like(rows), where=length >= SHORTEST)
    return result


def _finite(rows: Float32, what: str) -> Float64:
    if not np.isfinite(rows).all():
        raise ValueError(f"{what} has NaN or infinite values; remove those rows first")
    return rows.astype(np.float64)


def project(raw: Float32, mean: Float32, components: Float32, eigenvalues: Float32) -> Float32:
    """y = ((x - mean) @ components.T) / sqrt(eigenvalues), then y / ||y||.

    raw [N, E], mean [E], components [D, E], eigenvalues [D] -> [N, D].
    """
    weights = _finite(components, "components") / np.sqrt(_finite(eigenvalues, "eigenvalues"))[:, None]
    projected = (_finite(raw, "raw") - _finite(mean, "mean")) @ weights.T
    return unit(projected).astype(np.float32)


def nearest(queries: Float32, bank: Float32, k: int) -> tuple[Float64, NDArray[np.int64]]:
    """The k bank rows of greatest cosine, equal ones in row order: cosines [N, k], rows [N, k], best first."""
    cosines = unit(_finite(queries, "queries")) @ unit(_finite(bank, "bank")).T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cosines, order, axis=1), order


def normalise(
    queries: Float32, bank: Float32, *, method: int, beta: float, cosines: int = 3, directions: int = 100
) -> Float32:
    """Move queries [N, D] away from the bank [M, D]; the result [N, D] is not normalised again.

    With C the mean cosine of the ``cosines`` nearest bank rows, at least 0:
    method 1 is q (1 + beta sqrt(C)); method 2 is q + beta sqrt(C) d / ||d||, d the mean of (q - t) / ||q - t|| over the
    ``directions`` nearest rows t. A query equal to t takes no direction from it.
    """
    found, rows = nearest(queries, bank, min(len(bank), max(cosines, directions)))
    strength = beta * np.sqrt(np.maximum(found[:, :cosines].mean(axis=1, keepdims=True), 0.0))
    q = queries.astype(np.float64)
    if method == 1:
        return np.asarray(q * (1.0 + strength), np.float32)
    if method != 2:
        raise ValueError("method must be 1 or 2")
    away = q[:, None, :] - bank[rows[:, :directions]].astype(np.float64)
    mean = np.stack([unit(differences).mean(axis=0) for differences in away]) if len(q) else q
    return np.asarray(q + strength * unit(mean), np.float32)


def background_scores(queries: Float32, bank: Float32, n: int) -> Float64:
    """Mean of the n highest scores s(q, t) = -|q - t|^2 with bank rows t (of all, if fewer): [N, D], [M, D] -> [N].

    What a query scores with images that it has nothing to do with.
    """
    if n < 1:
        raise ValueError("n must be at least 1")
    rows = _finite(bank, "bank")
    scores = [-np.sort(((query - rows) ** 2).sum(axis=1))[:n] for query in _finite(queries, "queries")]
    return np.array([best.mean() for best in scores], np.float64)


def normalise_scores(scores: Float64, queries: NDArray[np.int64], background: Float64, alpha: float) -> Float64:
    """s - alpha mean(s(q, t_1..t_n)) for every pair: scores [P], the query's row of each [P], background [N] -> [P]."""
    if not np.isfinite(alpha):
        raise ValueError("alpha must be finite")
    return scores - alpha * background[queries]
