"""Raw embeddings to descriptors: projection, and normalisation of queries against a bank.

Behind one protocol, ``Describer``, in two forms: ``reference`` is plain numpy and defines what is correct, the native core
computes the same faster.
"""

from .describer import Backend, Describer, Normalisation, Projection, open_describer
from .reference import normalise_scores

__all__ = ["Backend", "Describer", "Normalisation", "Projection", "normalise_scores", "open_describer"]
