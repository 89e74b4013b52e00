"""The faster of several networks that compute the same, measured."""

import logging
import statistics
import time
from collections.abc import Sequence

import numpy as np

from ..device import DeviceArray
from .batched import BatchedNetwork

log = logging.getLogger(__name__)

_ROUNDS = 5
_BATCHES = 4


def fastest(networks: Sequence[BatchedNetwork]) -> BatchedNetwork:
    """By the median of rounds in which each takes its turn, its pixels and rows on the card. One alone is not measured.

    Raises: DeviceError.
    """
    if len(networks) == 1:
        return networks[0]
    times: list[list[float]] = [[] for _ in networks]
    pixels = [_noise(network) for network in networks]
    for turn in range(_ROUNDS + 1):
        for network, some, seconds in zip(networks, pixels, times, strict=True):
            start = time.perf_counter()
            network.rows_on_card(some)
            if turn:  # the first one warms up
                seconds.append((time.perf_counter() - start) / len(some))
    medians = [statistics.median(seconds) for seconds in times]
    for network, median in zip(networks, medians, strict=True):
        log.info("%s by %s: %.0f images/s", network.path.name, network.runtime, 1 / median)
    return networks[medians.index(min(medians))]


def _noise(network: BatchedNetwork) -> DeviceArray:
    size = network.input_size
    shape = (_BATCHES * network.batch, size, size, 3)
    return DeviceArray.from_host(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
