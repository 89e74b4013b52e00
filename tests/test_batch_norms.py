"""Batch norms after a short training."""

import torch

from copytrace.train.batch_norms import settle_batch_norms
from copytrace.train.photographs import Photographs, clean_view

from conftest import PHOTOS


class Normed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.norm(pixels.float().mean(dim=(1, 2)))


def test_statistics_are_those_of_photographs_as_they_are() -> None:
    _, photos = Photographs([PHOTOS / "references"]).split(17)  # a batch of 16 and one of 1, if they were cut so
    network = Normed().train()
    network(torch.zeros((4, 8, 8, 3)))
    settle_batch_norms(network, photos, 32, seed=0)
    colours = torch.stack([torch.from_numpy(clean_view(photos, place, 32)[1]) for place in range(17)])
    mean = colours.float().mean(dim=(1, 2)).mean(dim=0)
    torch.testing.assert_close(network.norm.running_mean, mean, rtol=0.02, atol=0.5)
    assert network.training and network.norm.momentum == 0.1
