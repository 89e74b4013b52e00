"""Joins bundles and search: every score is measured against what its query scores with images that it is no copy of."""

from .bundle import Bundle
from .search.pairs import Offsets, check_dimensions, load
from .store import DescriptorArray, Descriptors, check_comparable
from .threads import cpu_count


def score_offsets(queries: Descriptors, bundle: Bundle, threads: int | None = None) -> Offsets | None:
    """What normalisation adds to the squared distances of each query's pairs, float64 [N]; None where the manifest has none.

    The formula is in DESIGN.md, section 5: ``alpha`` times the mean score with the bank. queries: rows [N, D] as they are
    searched with, moved away from the bank or not.
    Raises: ComparisonError for rows that were made with another bundle; SearchError for another dimension and bad values.
    """
    attributes = {"role": "reference", "output": "projected", "space": bundle.space, "recipe": bundle.recipe}
    check_comparable(queries, DescriptorArray(str(bundle.path), [], bundle.bank, attributes))
    constants = bundle.manifest.score_normalisation
    if constants is None:
        return None
    check_dimensions(queries.descriptors, bundle.bank)
    rows = load(queries.descriptors, 0, len(queries.ids))
    describer = bundle.describer(threads=threads or cpu_count())
    offsets: Offsets = constants.alpha * describer.background_scores(rows, constants.n)
    return offsets
