"""The whole pipeline against a plain program, and against the fastest that shared processors allow."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from copytrace.engine import Engine
from copytrace.engine.read import decode_sizes, open_source

from .harness import Ratio, interleave, ratio
from .plain_program import PlainProgram

PLAIN_IMAGES = 200
MODEL_BATCHES = 96
SINGLE_IMAGES = 40


def run(images: Path, threads: int, rounds: int) -> list[Ratio]:
    paths = [path for path in sorted(images.rglob("*")) if path.is_file()][:PLAIN_IMAGES]
    return [*whole(images, paths, threads, rounds), single(paths[:SINGLE_IMAGES], rounds)]


def whole(images: Path, paths: list[Path], threads: int, rounds: int) -> list[Ratio]:
    source = open_source(images)
    engine, plain = Engine(threads=threads), PlainProgram(threads)
    _check_parity(plain, paths[:32])
    embedders = {"int8": engine.embedder, "float32": Engine(precision="float32", threads=threads).embedder}
    batch = engine.embedder.batch
    first = engine.embedder.decode([image for image, _ in zip(source, range(batch), strict=False)])
    pictures = [decoded.pixels for decoded in first if decoded.pixels is not None]
    stages: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(threads) as pool:

        def to_file() -> None:
            summary = engine.embed_source(images, Path(folder) / "ours.h5")
            stages.append({**summary.stage_seconds, "all": summary.seconds})

        def decode_only() -> None:
            for _ in pool.map(lambda image: engine.embedder.decode([image]), source):
                pass

        def model_only(name: str) -> None:
            list(pool.map(lambda _: embedders[name].embed(pictures), range(MODEL_BATCHES)))

        times = interleave(
            {
                "whole": to_file,
                "plain": lambda: plain.run(paths, Path(folder) / "plain.h5"),
                "decode": decode_only,
                "int8": lambda: model_only("int8"),
                "float32": lambda: model_only("float32"),
            },
            rounds,
        )
    count, modelled = len(source), MODEL_BATCHES * len(pictures)
    ceiling = [d / count + m / modelled for d, m in zip(times["decode"].seconds, times["int8"].seconds, strict=True)]
    whole_each = [t / count for t in times["whole"].seconds]
    print(
        f"images/s, {threads} threads: whole {count / times['whole'].median:.0f}, "
        f"plain {len(paths) / times['plain'].median:.0f}, "
        f"decode only {count / times['decode'].median:.0f}, int8 only {modelled / times['int8'].median:.0f}, "
        f"float32 only {modelled / times['float32'].median:.0f}"
    )
    written = [(s["write HDF5"] + s["write journal"]) / s["all"] for s in stages[1:]]
    return [
        ratio(
            "whole pipeline, JPEG to HDF5, int8 / plain program",
            times["plain"],
            times["whole"],
            4.0,
            count / len(paths),
        ),
        Ratio("whole pipeline / shared-core ceiling", [c / w for c, w in zip(ceiling, whole_each, strict=True)], 0.90),
        ratio("int8 / float32, model only", times["float32"], times["int8"], 2.0),
        Ratio("share of wall time spent writing journal and HDF5", written, 0.02, at_most=True),
    ]


def single(paths: list[Path], rounds: int) -> Ratio:
    """One image at a time, as a service is asked, against its decoding and its networks and nothing else."""
    engine = Engine()
    encoded = [path.read_bytes() for path in paths]
    networks, sizes = engine.embedder.networks, engine.embedder.sizes

    def alone(data: bytes) -> np.ndarray:
        pixels = dict(zip(sizes, decode_sizes(data, sizes)[0], strict=True))
        return np.concatenate([network(pixels[network.input_size][None]) for network in networks], axis=1)

    np.testing.assert_array_equal(engine.embed(encoded[:1], output="raw"), alone(encoded[0]))
    times = interleave(
        {
            "alone": lambda: [alone(data) for data in encoded],
            "engine": lambda: [engine.embed(data) for data in encoded],
        },
        rounds,
    )
    print(f"one image: {1000 * times['engine'].median / len(paths):.1f} ms")
    values = [e / a for e, a in zip(times["engine"].seconds, times["alone"].seconds, strict=True)]
    return Ratio("one image through Engine().embed / its decoding and networks alone", values, 1.25, at_most=True)


def _check_parity(plain: PlainProgram, paths: list[Path]) -> None:
    """The plain program computes the same descriptors, but for Pillow's resize."""
    cosine = (plain.embed(paths) * Engine(precision="float32").embed(paths)).sum(axis=1)
    if np.median(cosine) < 0.9:
        raise AssertionError(f"the plain program computes something else: median cosine {np.median(cosine):.3f}")
