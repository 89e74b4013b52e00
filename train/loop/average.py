"""A moving average of a network's weights: less noisy than the weights themselves while the learning rate is high."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class WeightAverage:
    """Keeps ``share`` of itself at every update, less in the first ones, and takes the rest from the weights.

    A share of 0 keeps nothing: the average is the weights themselves.
    """

    def __init__(self, network: nn.Module, share: float) -> None:
        self.network, self.share, self.updates = network, share, 0
        self._kept = [parameter.detach().clone() for parameter in network.parameters()] if share else []

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        share = min(self.share, self.updates / (9 + self.updates))
        for kept, parameter in zip(self._kept, self.network.parameters(), strict=bool(self._kept)):
            kept.lerp_(parameter, 1.0 - share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """For as long as the context lasts the network has the averaged weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def apply(self) -> None:
        """Give the network the averaged weights for good."""
        for kept, parameter in zip(self._kept, self.network.parameters(), strict=bool(self._kept)):
            parameter.copy_(kept)

    @torch.no_grad()
    def _exchange(self) -> None:
        for kept, parameter in zip(self._kept, self.network.parameters(), strict=bool(self._kept)):
            live = parameter.clone()
            parameter.copy_(kept)
            kept.copy_(live)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "kept": self._kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        for kept, saved in zip(self._kept, state["kept"], strict=True):
            kept.copy_(saved)
