"""Verification of pairs by the native core: what ``reference`` defines, to the last bit, some hundred times as fast."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import _match
from . import variants
from .features import LocalFeatures
from .variants import Variant
from .verification import DEFAULT_RULES, NONE, Rules, Verification

_BINS = np.stack([variants.bins(variant) for variant in Variant]).astype(np.uint8)


class Verifier:
    """A query made ready to be verified against any number of references; may be used by several threads at once.

    Raises: ValueError for an instruction set (``isa``) that is not there.
    """

    def __init__(self, query: LocalFeatures, *, rules: Rules = DEFAULT_RULES, isa: str = "auto") -> None:
        self._query = _match.Query(query.descriptors, query.keypoints, _BINS, isa)
        self._rules = _match.Rules(
            ratio=rules.ratio,
            place=rules.place,
            octaves=rules.octaves,
            turns=rules.turns,
            stretch=rules.stretch,
            cell=rules.cell,
        )

    def verify(self, reference: LocalFeatures, *, others: NDArray[np.int32] | None = None) -> Verification:
        """``reference.verify`` of the query and one reference."""
        return self.verify_many([reference], others=others)[0]

    def verify_many(
        self, references: Sequence[LocalFeatures], *, others: NDArray[np.int32] | None = None, threads: int = 1
    ) -> list[Verification]:
        """Every reference for itself, in order, on ``threads`` threads and without the GIL.

        ``others`` int32 [4, F], C-contiguous: squared distances to other pictures, see ``reference.verify``.
        Raises: ValueError for another shape or type of ``others``.
        """
        pairs = [(reference.descriptors, reference.keypoints) for reference in references]
        results = self._query.verify_many(pairs, rules=self._rules, others=others, threads=threads)
        return [_verification(*result) for result in results]


def verify(query: LocalFeatures, reference: LocalFeatures, *, rules: Rules = DEFAULT_RULES) -> Verification:
    """One pair; several references of one query go faster by a ``Verifier``."""
    return Verifier(query, rules=rules).verify(reference)


def _verification(
    inliers: int,
    variant: int,
    matches: int,
    rows: NDArray[np.int32],
    affine: NDArray[np.float64],
    spread: float,
) -> Verification:
    if not inliers:
        return NONE
    return Verification(inliers, Variant(variant), matches, rows[:, 0].copy(), rows[:, 1].copy(), affine, spread)
