"""One side of ``against``: does the task whose name comes on a line of standard input, and answers with the seconds it took.

It runs with whichever copytrace its path leads to, so it uses what old and new have in common, and nothing else of benchmarks.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from copytrace.engine import Engine, _core, search

SINGLE = 20

Task = Callable[[], np.ndarray]


@dataclass
class Inputs:
    """The command line: a folder for what the tasks write, a list of images, a bundle, threads."""

    folder: Path
    images: Path
    bundle: Path
    threads: int

    @classmethod
    def of(cls, folder: str, images: str, bundle: str, threads: str) -> "Inputs":
        return cls(Path(folder), Path(images), Path(bundle), int(threads))


def projection(inputs: Inputs) -> Task:
    rng = np.random.default_rng(0)
    raw, mean = rng.standard_normal((4096, 1280), np.float32), rng.standard_normal(1280, np.float32)
    core = _core.Projection(mean, rng.standard_normal((256, 1280), np.float32), rng.random(256, np.float32) + 0.5)
    return lambda: [core.apply(raw, threads=inputs.threads) for _ in range(10)][-1]


def normalisation(inputs: Inputs) -> Task:
    rng = np.random.default_rng(0)
    bank, queries = _core.Bank(unit(rng, 100_000)), unit(rng, 1000)
    return lambda: bank.normalise(queries, method=2, beta=1.8, threads=inputs.threads)


def searching(inputs: Inputs, queries: int, references: int, **how: int) -> Task:
    rng = np.random.default_rng(0)
    paths = [inputs.folder / f"{kind}_{count}.h5" for kind, count in (("q", queries), ("r", references))]
    for path, count in zip(paths, (queries, references), strict=True):
        with h5py.File(path, "w") as file:
            file["descriptors"] = unit(rng, count)
            file["ids"] = [f"{i:07}" for i in range(count)]
    return lambda: np.asarray(search(*paths, threads=inputs.threads, **how).pairs.scores)


def embedding(inputs: Inputs) -> Task:
    engine, output = Engine(inputs.bundle, threads=inputs.threads), inputs.folder / "embedded.h5"

    def run() -> np.ndarray:
        output.unlink(missing_ok=True)
        engine.embed_source(inputs.images, output)
        with h5py.File(output) as file:
            return file["descriptors"][:]

    return run


def single(inputs: Inputs) -> Task:
    engine = Engine(inputs.bundle, threads=inputs.threads)
    encoded = [Path(line).read_bytes() for line in inputs.images.read_text().splitlines()[:SINGLE]]
    return lambda: np.concatenate([engine.embed([data]) for data in encoded])


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    rows = rng.standard_normal((count, 256), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


TASKS: dict[str, Callable[[Inputs], Task]] = {
    "embed": embedding,
    "one image at a time": single,
    "projection": projection,
    "normalisation": normalisation,
    "100 nearest": lambda inputs: searching(inputs, 4096, 20_000, k=100),
    "top 500000": lambda inputs: searching(inputs, 5000, 200_000, top=500_000),
}


def main() -> None:
    inputs = Inputs.of(*sys.argv[1:])
    ready: dict[str, Task] = {}
    for line in sys.stdin:
        name = line.strip()
        first = name not in ready
        if first:
            ready = {name: TASKS[name](inputs)}  # the one before is over, and its memory is free
        wall, processor = time.perf_counter(), time.process_time()
        result = ready[name]()
        answer = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        if first:
            np.save(inputs.folder / f"{name}.npy", result)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
