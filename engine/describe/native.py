"""A describer on the native core."""

from dataclasses import asdict
from typing import Literal

import numpy as np

from .. import _core
from .describer import Float32, Float64, Normalisation, Projection, present


class NativeDescriber:
    """See :class:`~copytrace.engine.describe.Describer`. threads: for one call."""

    backend: Literal["native"] = "native"

    def __init__(self, projection: Projection, bank: Float32 | None = None, *, threads: int = 1) -> None:
        self._projection = _core.Projection(projection.mean, projection.components, projection.eigenvalues)
        self._bank = None if bank is None else _core.Bank(bank)
        self._bank_rows = bank
        self._threads = threads

    @property
    def dimension(self) -> int:
        return self._projection.outputs

    def project(self, raw: Float32) -> Float32:
        return self._projection.apply(raw, threads=self._threads)

    def describe_queries(self, raw: Float32, how: Normalisation) -> Float32:
        present(self._bank_rows)
        assert self._bank is not None
        return _core.describe_queries(self._projection, self._bank, raw, **asdict(how), threads=self._threads)

    def background_scores(self, queries: Float32, n: int) -> Float64:
        """By the exact search: the same to the last bit on every instruction set."""
        bank = present(self._bank_rows)
        if n < 1:
            raise ValueError("n must be at least 1")
        used = min(n, len(bank))
        search = _core.NearestSearch(queries, used)
        search.add(_core.References(bank), 0, np.arange(len(bank)), threads=self._threads)
        _, _, distances = search.result(threads=self._threads)
        mean: Float64 = -distances.reshape(len(queries), used).mean(axis=1)
        return mean
