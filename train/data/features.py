"""Features of a frozen trunk, computed once through ONNX Runtime and kept in a file, so that a head trains in minutes."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import StoreError
from copytrace.engine.embedder import Embedder
from copytrace.engine.infer import OrtNetwork
from copytrace.engine.parallel import map_ordered
from copytrace.engine.pipeline import Pipeline
from copytrace.engine.read import PixelImage
from copytrace.engine.store.atomic import flush, reason
from copytrace.engine.threads import cpu_count

from ..settings import AttackSet
from .batches import in_batches
from .photographs import Photographs
from .views import photograph_views

_FLUSH_PHOTOGRAPHS = 512
LARGEST = 65504.0  # of float16

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]


def run_network(network: OrtNetwork, pictures: Iterator[Pixels]) -> NDArray[np.float32]:
    """Rows float32 [N, E] of pictures uint8 [S, S, 3], on all processors."""
    with ThreadPoolExecutor(cpu_count()) as workers:
        return np.concatenate(
            list(map_ordered(workers, network, map(np.stack, in_batches(pictures, network.batch)), 2 * cpu_count()))
        )


def run_embedder(embedder: Embedder, pictures: Iterator[Pixels]) -> NDArray[np.float32]:
    """Raw embeddings float32 [N, E] of pictures uint8 [H, W, 3] of any size, on all processors."""
    images = (PixelImage(str(place), picture) for place, picture in enumerate(pictures))
    return np.concatenate([part.rows for part in Pipeline(embedder).embed(images, "raw")])


def cached_features(
    path: Path,
    onnx: Path,
    photographs: Photographs,
    views: int,
    size: int,
    seed: int,
    attacks: AttackSet = "isc2021",
    progress: Progress = lambda done, total: None,
) -> NDArray[np.float16]:
    """Features float16 [photographs, views, F], the clean view first; computed where ``path`` does not hold them yet.

    A killed run goes on where it was: ``path`` with the suffix ``.done`` counts the photographs that are complete.
    Raises: StoreError when the disk is full.
    """
    # Small batches keep what a network holds below the size from which memory is fetched from the system anew every time.
    network = OrtNetwork(onnx, batch=min((4, 3, 2, 1), key=lambda batch: -views % batch))
    count = path.with_suffix(".done")
    shape = (len(photographs), views, network.dimension)
    try:
        features, done = _open(path, count, shape)

        def compute(place: int) -> NDArray[np.float32]:
            return network(photograph_views(photographs, place, views, size, seed, attacks))

        with ThreadPoolExecutor(cpu_count()) as workers:
            rows = map_ordered(workers, compute, range(done, len(photographs)), 2 * cpu_count())
            for place, row in enumerate(rows, start=done):
                features[place] = row.clip(-LARGEST, LARGEST)
                if (place + 1) % _FLUSH_PHOTOGRAPHS == 0 or place + 1 == len(photographs):
                    features.flush()
                    count.write_text(str(place + 1))
                    flush(count)
                progress(place + 1, len(photographs))
        return features
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {reason(error)}") from error


def _open(path: Path, count: Path, shape: Sequence[int]) -> tuple[Any, int]:
    """The array on disk and how much of it is there; reserves the whole file, so that a full disk shows at once."""
    if path.exists() and count.exists():
        return np.lib.format.open_memmap(path, mode="r+"), int(count.read_text())
    features = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=tuple(shape))
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):  # not on macOS: a full disk then shows when its time comes
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    count.write_text("0")
    return features, 0
