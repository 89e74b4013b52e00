"""The native core against numpy and faiss."""

from collections.abc import Callable

import faiss
import numpy as np

from copytrace.engine import _core
from copytrace.engine.describe import reference

from .harness import Ratio, interleave, ratio

ROWS, INPUTS, OUTPUTS = (4096, 16_384), 1280, 256
BANK, QUERIES, NEAREST, BETA = 100_000, 1000, 100, 1.8
PROJECTED_PER_ROUND = 81_920


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def repeated(function: Callable[[], object], times: int) -> Callable[[], object]:
    return lambda: [function() for _ in range(times)]


def run(threads: int, rounds: int) -> list[Ratio]:
    faiss.omp_set_num_threads(threads)
    rng = np.random.default_rng(0)
    projections = [ratio for count in ROWS for ratio in projection(rng, count, threads, rounds)]
    return [*projections, *normalisation(rng, threads, rounds)]


def projection(rng: np.random.Generator, count: int, threads: int, rounds: int) -> list[Ratio]:
    raw = rng.standard_normal((count, INPUTS), dtype=np.float32)
    mean = rng.standard_normal(INPUTS, dtype=np.float32)
    components = rng.standard_normal((OUTPUTS, INPUTS), dtype=np.float32) / 36
    eigenvalues = rng.random(OUTPUTS, dtype=np.float32) + 0.5
    native = _core.Projection(mean, components, eigenvalues)
    transform = faiss.LinearTransform(INPUTS, OUTPUTS, True)
    weights = components / np.sqrt(eigenvalues)[:, None]
    faiss.copy_array_to_vector(weights.ravel(), transform.A)
    faiss.copy_array_to_vector(-(weights @ mean), transform.b)
    transform.is_trained = True

    def plain() -> np.ndarray:
        y = ((raw - mean) @ components.T) / np.sqrt(eigenvalues)
        return y / np.linalg.norm(y, axis=1, keepdims=True)

    def by_faiss() -> np.ndarray:
        y = transform.apply(raw)
        faiss.normalize_L2(y)
        return y

    expected = reference.project(raw, mean, components, eigenvalues)
    for name, rows in (("native", native.apply(raw, threads=threads)), ("numpy", plain()), ("faiss", by_faiss())):
        np.testing.assert_allclose(rows, expected, atol=1e-5, err_msg=name)
    times = interleave(
        {
            "numpy": repeated(plain, PROJECTED_PER_ROUND // count),
            "faiss": repeated(by_faiss, PROJECTED_PER_ROUND // count),
            "native": repeated(lambda: native.apply(raw, threads=threads), PROJECTED_PER_ROUND // count),
        },
        rounds,
    )
    size = f"{count} x {INPUTS} -> {OUTPUTS}"
    return [
        ratio(f"native projection {size} / plain numpy", times["numpy"], times["native"], 1.5),
        ratio(f"native projection {size} / faiss LinearTransform + L2", times["faiss"], times["native"], 1.0),
    ]


def normalisation(rng: np.random.Generator, threads: int, rounds: int) -> list[Ratio]:
    bank = unit(rng.standard_normal((BANK, OUTPUTS), dtype=np.float32))
    queries = unit(rng.standard_normal((QUERIES, OUTPUTS), dtype=np.float32))
    native, index = _core.Bank(bank), faiss.IndexFlatIP(OUTPUTS)
    index.add(bank)

    def by_faiss(method: int) -> np.ndarray:
        cosines, rows = index.search(queries, NEAREST)
        strength = BETA * np.sqrt(np.maximum(cosines[:, :3].mean(1), 0))[:, None]
        if method == 1:
            return queries * (1 + strength)
        away = queries[:, None] - bank[rows]
        direction = (away / np.linalg.norm(away, axis=2, keepdims=True)).mean(1)
        return queries + strength * direction / np.linalg.norm(direction, axis=1, keepdims=True)

    ratios = []
    for method in (1, 2):

        def ours(method: int = method) -> np.ndarray:
            return native.normalise(queries, method=method, beta=BETA, threads=threads)

        np.testing.assert_allclose(ours()[:50], by_faiss(method)[:50], atol=1e-5)
        expected = reference.normalise(queries[:50], bank, method=method, beta=BETA)
        np.testing.assert_allclose(ours()[:50], expected, atol=1e-5)
        times = interleave({"faiss": lambda method=method: by_faiss(method), "native": ours}, rounds)
        name = f"native query normalisation, method {method}, bank {BANK} / faiss k=100 + numpy"
        ratios.append(ratio(name, times["faiss"], times["native"], 1.5))
    return ratios
