"""Batches as a pure function of the step: whatever is killed and resumed sees the same pictures in the same order."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ..settings import AttackSet
from .photographs import Photographs
from .progressive import Progressive
from .views import attacked_view, clean_view

T = TypeVar("T")


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


@lru_cache(maxsize=4)
def _epoch(classes: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, classes, epoch]).permutation(classes)


def places_of_step(step: int, classes: int, batch: int, seed: int) -> list[int]:
    """The classes of one batch: every class once before any comes again."""
    positions = range(step * batch, (step + 1) * batch)
    return [int(_epoch(classes, seed, position // classes)[position % classes]) for position in positions]


class PixelBatches(Dataset):
    """Step -> (pixels uint8 [B * views, S, S, 3], classes int64 [B * views]); each photograph's views are neighbours.

    The first ``classes`` photographs take part. rank, world: which part of every batch is this process's. clean: share of
    photographs whose first view is not attacked.
    """

    def __init__(
        self,
        photographs: Photographs,
        progressive: Progressive,
        steps: int,
        batch: int,
        views: int,
        seed: int,
        classes: int,
        rank: int = 0,
        world: int = 1,
        clean: float = 0.0,
        attacks: AttackSet = "isc2021",
    ) -> None:
        self.clean = clean
        self.photographs, self.progressive, self.steps = photographs, progressive, steps
        self.batch, self.views, self.seed, self.classes = batch, views, seed, classes
        self.rank, self.world, self.attacks = rank, world, attacks

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        size, intensity = self.progressive.at(step / self.steps)
        places = places_of_step(step, self.classes, self.batch, self.seed)[self.rank :: self.world]
        slots = range(self.rank, self.batch, self.world)  # views do not depend on the number of processes
        drawn = [
            self._view(view, place, size, intensity, np.random.default_rng([self.seed, step, slot, view]))
            for slot, place in zip(slots, places, strict=True)
            for view in range(self.views)
        ]
        return torch.from_numpy(np.stack([pixels for _, pixels in drawn])), torch.tensor([place for place, _ in drawn])

    def _view(
        self, view: int, place: int, size: int, intensity: float, rng: np.random.Generator
    ) -> tuple[int, NDArray[np.uint8]]:
        if view == 0 and rng.random() < self.clean:
            return clean_view(self.photographs, place, size)
        return attacked_view(self.photographs, place, size, rng, intensity, self.attacks)


class FeatureBatches(Dataset):
    """Step -> (features float32 [B * views, F], classes int64 [B * views]), drawn from views computed once.

    features: float16 [photographs, V, F], the clean view first. Each photograph's views of one batch are different ones.
    """

    def __init__(
        self,
        features: NDArray[np.float16],
        steps: int,
        batch: int,
        views: int,
        seed: int,
        classes: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.features, self.steps = features, steps
        self.batch, self.views, self.seed, self.classes = batch, views, seed, classes
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        places = np.array(places_of_step(step, self.classes, self.batch, self.seed)[self.rank :: self.world])
        rng = np.random.default_rng([self.seed, step, self.rank])
        made = self.features.shape[1]
        chosen = rng.random((len(places), made)).argsort(axis=1)[:, : self.views]
        drawn = self.features[places[:, None], chosen].reshape(-1, self.features.shape[2])
        return torch.from_numpy(drawn.astype(np.float32)), torch.from_numpy(places.repeat(self.views))
