"""Raw embeddings to descriptors: projection, and normalisation of queries against a bank.

Written twice: ``reference`` is plain numpy and defines what is correct, the native core computes the same faster.
"""

from .describer import Describer, Normalisation, Projection
from .reference import normalise_scores

__all__ = ["Describer", "Normalisation", "Projection", "normalise_scores"]
