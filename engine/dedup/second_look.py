"""A second look at images that may be duplicates: two are joined where local features and aligned pixels say they are."""

import numpy as np

from ..api import Engine
from ..matches import LIKELY
from ..matching import Matcher
from ..read import Source
from ..references import References
from ..run import Progress
from ..search import joined_rows, nearest_pairs
from ..search.pairs import Float32, Indices

CANDIDATES = 10
"""The nearest other images that each is looked at with."""


def verified_rows(
    rows: Float32, ids: list[str], album: Source, engine: Engine, max_distance: float, progress: Progress
) -> Indices:
    """Rows [N, D] of images -> the smallest row number of each row's component, int64 [N].

    Each image is looked at with its nearest others, no farther than ``max_distance`` (Euclidean, not squared), and joined with
    those that it is more likely than not a copy of, or the other way round. progress: of the images that are looked at.
    """
    a, b = _candidates(rows, max_distance, engine.embedder.workers)
    if not len(a):
        return np.arange(len(rows), dtype=np.int64)
    wanted = {ids[row] for row in (*a.tolist(), *b.tolist())}
    matcher = Matcher(References.of(engine.embedder, album, only=wanted), "verify", engine=engine)
    pairs = [(ids[i], ids[j]) for i, j in zip(a.tolist(), b.tolist(), strict=True)]
    places = {name: row for row, name in enumerate(ids)}
    joints = [
        (places[query.query_id], places[match.reference_id])
        for query in matcher.verify_source(album, pairs, progress)
        for match in query.matches
        if match.probability >= LIKELY
    ]
    first, second = np.array(joints, np.int64).reshape(-1, 2).T
    return joined_rows(len(rows), first, second)


def _candidates(rows: Float32, max_distance: float, threads: int) -> tuple[Indices, Indices]:
    """Pairs of different rows: each with its nearest others that are near enough."""
    order = np.arange(len(rows))
    found = nearest_pairs(rows, rows, CANDIDATES + 1, query_ranks=order, reference_ranks=order, threads=threads)
    near = (found.queries != found.references) & (found.distances <= max_distance * max_distance)
    return found.queries[near], found.references[near]
