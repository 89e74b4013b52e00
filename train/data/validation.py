"""Validation by the challenge's metric: on a folder pair with truth, or on photographs held back from training."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import BadImageError, Evaluation, GroundTruth, ScoredPairs, SourceError, evaluate, read_truth
from copytrace.engine.read import Image, UndecodableError, decode, open_source
from copytrace.engine.search import Pairs, id_ranks, nearest_pairs

from .photographs import Photographs
from .views import attacked_view, clean_view

NEIGHBOURS = 20
"""Pairs kept per query; the metric itself keeps ten per query in all."""
_TRUTH_NAMES = ("truth.csv", "ground_truth.csv")

Pixels = NDArray[np.uint8]
Embed = Callable[[Iterator[Pixels]], NDArray[np.float32]]
"""Pictures uint8 [S, S, 3], one by one -> rows float32 [N, E]."""


@dataclass
class ValidationSet:
    """References and queries as ways to their pixels at a size, and which query is whose copy."""

    reference_ids: list[str]
    query_ids: list[str]
    references: Callable[[int], Iterator[Pixels]]
    queries: Callable[[int], Iterator[Pixels]]
    truth: GroundTruth

    def score(self, queries: NDArray[np.float32], references: NDArray[np.float32]) -> Evaluation:
        """The metric of rows [N, D] for the queries and [M, D] for the references, by Euclidean distance."""
        return self.score_pairs(self.pairs(queries, references))

    def pairs(self, queries: NDArray[np.float32], references: NDArray[np.float32]) -> Pairs:
        """The nearest references of every query."""
        ranks = {"query_ranks": id_ranks(self.query_ids), "reference_ranks": id_ranks(self.reference_ids)}
        return nearest_pairs(queries, references, min(NEIGHBOURS, len(references)), **ranks)

    def score_pairs(self, pairs: Pairs) -> Evaluation:
        """The metric of pairs, in any order."""
        names = [self.query_ids[i] for i in pairs.queries], [self.reference_ids[i] for i in pairs.references]
        return evaluate(ScoredPairs(*names, pairs.scores), self.truth)

    def evaluate(self, embed: Embed, size: int) -> Evaluation:
        return self.score(embed(self.queries(size)), embed(self.references(size)))


def folder_pair(folder: Path) -> ValidationSet:
    """``references/``, ``queries/`` and ``truth.csv`` (or ``ground_truth.csv``) in one folder.

    Raises: SourceError, ScoreError; BadImageError later, for a picture that cannot be read.
    """
    truth = truth_of(folder)
    references, queries = (open_source(folder / name) for name in ("references", "queries"))

    def pixels(source):
        return lambda size: (decoded(image, size) for image in source)

    return ValidationSet(references.ids(), queries.ids(), pixels(references), pixels(queries), truth)


def truth_of(folder: Path) -> GroundTruth:
    """What a folder's ``truth.csv`` (or ``ground_truth.csv``) says. Raises: SourceError when it has none; ScoreError."""
    path = next((folder / name for name in _TRUTH_NAMES if (folder / name).exists()), None)
    if path is None:
        raise SourceError(f"{folder}: holds no truth.csv")
    return read_truth(path)


def decoded(image: Image, size: int) -> Pixels:
    """uint8 [size, size, 3]. Raises: BadImageError for a picture that cannot be read."""
    try:
        return decode(image.read(), size)
    except (UndecodableError, OSError) as error:
        raise BadImageError(f"{image.id}: {error}") from None


def held_back(photographs: Photographs, seed: int) -> ValidationSet:
    """The first half of the photographs are references, each with an attacked copy; the others are attacked distractors."""
    copies = (len(photographs) + 1) // 2
    count = len(photographs)

    def references(size: int) -> Iterator[Pixels]:
        return (clean_view(photographs, place, size)[1] for place in range(copies))

    def queries(size: int) -> Iterator[Pixels]:
        for place in range(count):
            yield attacked_view(photographs, place, size, np.random.default_rng([seed, place]), 1.0)[1]

    truth = GroundTruth.of([(f"q{i}", f"r{i}" if i < copies else "") for i in range(count)])
    return ValidationSet([f"r{i}" for i in range(copies)], [f"q{i}" for i in range(count)], references, queries, truth)
