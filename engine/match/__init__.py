"""The second look at a pair: local features, four variants, verified matches, aligned pixels, a probability, evidence.

``reference`` defines verification in plain numpy; ``verify`` is the native core's, with the same results.
"""

from .aligned import Alignment, align, thumbnail
from .drawing import svg
from .evidence import Evidence, make_evidence
from .features import QUERY_FEATURES, REFERENCE_FEATURES, LocalFeatures, extract, extract_small
from .grey import Frame, small_grey
from .probability import PairFeatures, PairModel
from .variants import Variant
from .verification import DEFAULT_RULES, Rules, Verification
from .verify import Verifier, verify

__all__ = [
    "DEFAULT_RULES",
    "QUERY_FEATURES",
    "REFERENCE_FEATURES",
    "Alignment",
    "Evidence",
    "Frame",
    "LocalFeatures",
    "PairFeatures",
    "PairModel",
    "Rules",
    "Variant",
    "Verification",
    "Verifier",
    "align",
    "extract",
    "extract_small",
    "make_evidence",
    "small_grey",
    "svg",
    "thumbnail",
    "verify",
]
