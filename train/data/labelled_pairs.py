"""Labelled pairs to train on: queries and references of a folder as they are, without attacks, and which is whose copy."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from copytrace.engine import SourceError
from copytrace.engine.read import Image, open_source

from .batches import places_of_step
from .validation import decoded, truth_of

ALONE = 4  # one in so many places of a batch shows two pictures that have no copy

Item = tuple[tuple[Image, int], tuple[Image, int]]
"""Two pictures, each with its class."""


class LabelledPairs:
    """``references/``, ``queries/`` and ``truth.csv`` of a folder; a class is a reference with its copies, or a picture alone.

    Attributes: pairs, a reference and a copy of it each; alone, two pictures of different classes each: references without a
    copy and queries that are none, which only teach what is not alike.
    Raises: SourceError when the truth names what is not there, a query of two references, or no copy at all.
    """

    def __init__(self, folder: Path) -> None:
        truth = truth_of(folder)
        self._sources = {name: open_source(folder / name) for name in ("references", "queries")}
        references, queries = ({image.id: image for image in self._sources[name]} for name in self._sources)
        copies = sorted(truth.positives)
        for query, reference in copies:
            if query not in queries or reference not in references:
                raise SourceError(f"{folder}: the truth names {query},{reference}, and one of them is not there")
        if len({query for query, _ in copies}) < len(copies):
            raise SourceError(f"{folder}: the truth names a query of two references; it can show one class only")
        if not copies:
            raise SourceError(f"{folder}: the truth names no copy")
        classes = {reference: place for place, reference in enumerate(references)}
        self.pairs: list[Item] = [((references[r], classes[r]), (queries[q], classes[r])) for q, r in copies]
        copied, no_copies = {r for _, r in copies}, set(truth.queries) - {q for q, _ in copies}
        others = [references[r] for r in references if r not in copied]
        others += [queries[q] for q in queries if q in no_copies]
        numbered = list(zip(others, range(len(references), len(references) + len(others)), strict=True))
        self.alone: list[Item] = (
            list(zip(numbered, numbered[1:] + numbered[:1], strict=True)) if len(others) > 1 else []
        )

    def fingerprint(self) -> str:
        """Changes with the ids and file names."""
        return "-".join(source.names()[:16] for source in self._sources.values())


class PairBatches(Dataset):
    """Step -> (pixels uint8 [2 B, S, S, 3], classes int64 [2 B]), two neighbouring rows for every place of a batch.

    Most places show a pair; every fourth, where there are such pictures, two that have no copy. rank, world: as for
    :class:`.batches.PixelBatches`.
    """

    def __init__(
        self, labelled: LabelledPairs, size: int, steps: int, batch: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        self.labelled, self.size, self.steps, self.batch, self.seed = labelled, size, steps, batch, seed
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        shown = [picture for item in self._items(step)[self.rank :: self.world] for picture in item]
        pixels = np.stack([decoded(image, self.size) for image, _ in shown])
        return torch.from_numpy(pixels), torch.tensor([place for _, place in shown])

    def _items(self, step: int) -> list[Item]:
        pairs, alone = self.labelled.pairs, self.labelled.alone
        apart = self.batch // ALONE if alone else 0
        items = [pairs[i] for i in places_of_step(step, len(pairs), self.batch - apart, self.seed)]
        return items + [alone[i] for i in places_of_step(step, len(alone), apart, self.seed)]
