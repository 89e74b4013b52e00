"""Raw embeddings to descriptors: projection, and normalisation of queries against a bank.

Behind one protocol, ``Describer``, in three forms: ``reference`` is plain numpy and defines what is correct, the native core
computes the same faster, and a graphics card behind networks that are there.
"""

from .describer import Backend, BackendName, Describer, Normalisation, Projection, open_describer
from .on_card import CardDescriber
from .reference import normalise_scores

__all__ = [
    "Backend",
    "BackendName",
    "CardDescriber",
    "Describer",
    "Normalisation",
    "Projection",
    "normalise_scores",
    "open_describer",
]
