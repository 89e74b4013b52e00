"""A describer on a graphics card, which takes embeddings where the networks left them."""

from functools import cache
from typing import Any, Literal

import numpy as np

from ..device import DeviceArray
from ..graphs import Computed, Where
from . import graph
from .describer import Float32, Float64, Normalisation, Projection, present
from .native import NativeDescriber
from .reference import unit

_SCORES = 1 << 26  # cosines in float32 that are held at a time
_CANDIDATES = 1 << 25  # values of bank rows in float64


class CardDescriber:
    """See :class:`~copytrace.engine.describe.Describer`; also takes raw embeddings on the card. Computed in float64.

    Against the definition a value is off by rounding to float32 alone, and against the native core, which adds in float32, by
    1e-6 at most for descriptors of unit length; two bank rows whose cosines are the same to the last bit may change places. How
    many rows come together may change the float64 sums in the last place, and so one float32 value in some hundred million.
    Nothing of this has run on a card yet: ``where`` "cpu" has the processor compute the same graphs, which tests them.
    Raises: DeviceError where there is no card to be used; MissingExtraError; ValueError for values that cannot be used.
    """

    backend: Literal["cuda"] = "cuda"

    def __init__(
        self, projection: Projection, bank: Float32 | None = None, *, where: Where = "cuda", threads: int = 1
    ) -> None:
        self._projection = projection
        self._native = NativeDescriber(projection, bank, threads=threads)  # refuses what cannot be used
        self._where: Where = where
        self._bank = bank
        self._project = Computed(graph.project(projection), where, threads=threads)
        self._moved = cache(self._graph_for)
        if bank is not None:
            if bank.shape[1] != self.dimension:
                raise ValueError("the bank's columns must equal the projection's outputs")
            turned = np.ascontiguousarray(unit(bank.astype(np.float64)).T, np.float32)
            self._rows, self._units = self._project.put(bank), self._project.put(turned)

    @property
    def dimension(self) -> int:
        return len(self._projection.eigenvalues)

    def project(self, raw: Float32 | DeviceArray) -> Float32:
        self._check(raw)
        return self._finite(self._project(raw=raw)[0].numpy()) if len(raw) else self._nothing()

    def describe_queries(self, raw: Float32 | DeviceArray, how: Normalisation) -> Float32:
        bank = present(self._bank)
        self._check(raw)
        looked_at = graph.needed(how, len(bank)) + graph.SPARE
        step = max(1, min(_SCORES // len(bank), _CANDIDATES // (looked_at * self.dimension)))
        parts = [self._nothing()]
        for start in range(0, len(raw), step):
            part = raw[start : min(start + step, len(raw))]
            parts.append(self._moved(how)(raw=part, bank=self._rows, units=self._units)[0].numpy())
        return self._finite(np.concatenate(parts))

    def background_scores(self, queries: Float32, n: int) -> Float64:
        """By the native core: queries are few here, and it is exact."""
        return self._native.background_scores(queries, n)

    def _graph_for(self, how: Normalisation) -> Computed:
        if how.method not in (1, 2):
            raise ValueError("method must be 1 or 2")
        if not np.isfinite(how.beta):
            raise ValueError("beta must be finite")
        if how.cosines < 1 or how.directions < 1:
            raise ValueError("cosines and directions must be at least 1")
        return Computed(graph.describe_queries(self._projection, len(present(self._bank)), how), self._where)

    def _check(self, raw: Any) -> None:
        """Raises: ValueError for another shape or dtype."""
        wanted = len(self._projection.mean)
        if raw.dtype != np.float32 or len(raw.shape) != 2 or raw.shape[1] != wanted:
            raise ValueError(f"raw must be float32 [N, {wanted}], not {raw.dtype} {list(raw.shape)}")

    def _finite(self, rows: Float32) -> Float32:
        """A row with NaN or infinite values gives one: here it is noticed."""
        if not np.isfinite(rows).all():
            raise ValueError("an embedding has NaN, infinite or overflowing values; remove that row first")
        return rows

    def _nothing(self) -> Float32:
        return np.empty((0, self.dimension), np.float32)
