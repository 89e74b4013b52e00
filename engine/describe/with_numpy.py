"""A describer in plain numpy, the definition of correct."""

from dataclasses import asdict
from typing import Literal

import numpy as np

from . import reference
from .describer import Float32, Float64, Normalisation, Projection, present


class NumpyDescriber:
    """See :class:`~copytrace.engine.describe.Describer`; computed in float64."""

    backend: Literal["numpy"] = "numpy"

    def __init__(self, projection: Projection, bank: Float32 | None = None) -> None:
        self._projection = projection
        self._bank = bank

    @property
    def dimension(self) -> int:
        return len(self._projection.eigenvalues)

    def project(self, raw: Float32) -> Float32:
        p = self._projection
        return reference.project(_rows(raw, "raw", len(p.mean)), p.mean, p.components, p.eigenvalues)

    def describe_queries(self, raw: Float32, how: Normalisation) -> Float32:
        return reference.normalise(self.project(raw), present(self._bank), **asdict(how))

    def background_scores(self, queries: Float32, n: int) -> Float64:
        bank = present(self._bank)
        return reference.background_scores(_rows(queries, "queries", bank.shape[1]), bank, n)


def _rows(rows: Float32, name: str, columns: int) -> Float32:
    """The same, as the native core would take them. Raises: ValueError for another shape or dtype."""
    if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != columns:
        raise ValueError(f"{name} must be float32 [N, {columns}], not {rows.dtype} {list(rows.shape)}")
    return rows
