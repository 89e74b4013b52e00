"""The faster of several networks that compute the same, measured."""

import logging
import statistics
import time
from collections.abc import Sequence

import numpy as np

from ..device import DeviceArray
from .batched import BatchedNetwork
from .network import Pixels

log = logging.getLogger(__name__)

_ROUNDS = 5
_BATCHES = 4


def fastest(networks: Sequence[BatchedNetwork]) -> BatchedNetwork:
    """By the median of rounds in which each takes its turn, its pixels and rows where it computes. One alone is not measured.

    Raises: DeviceError.
    """
    if len(networks) == 1:
        return networks[0]
    times: list[list[float]] = [[] for _ in networks]
    pixels = [_noise(network) for network in networks]
    for turn in range(_ROUNDS + 1):
        for network, some, seconds in zip(networks, pixels, times, strict=True):
            start = time.perf_counter()
            _compute(network, some)
            if turn:  # the first one warms up
                seconds.append((time.perf_counter() - start) / len(some))
    medians = [statistics.median(seconds) for seconds in times]
    for network, median in zip(networks, medians, strict=True):
        log.info("%s by %s: %.0f images/s", network.path.name, network.runtime, 1 / median)
    return networks[medians.index(min(medians))]


def _compute(network: BatchedNetwork, pixels: Pixels) -> None:
    if network.place == "cuda":
        network.rows_on_card(pixels)
    else:
        network(pixels)


def _noise(network: BatchedNetwork) -> Pixels:
    size = network.input_size
    shape = (_BATCHES * network.batch, size, size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return DeviceArray.from_host(pixels) if network.place == "cuda" else pixels
