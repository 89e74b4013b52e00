"""The whole pipeline against a plain program, and against the fastest that shared processors allow."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from copytrace.engine import Bundle, Engine
from copytrace.engine.infer import open_network
from copytrace.engine.read import decode, open_source

from .harness import Ratio, interleave, ratio
from .plain_program import PlainProgram

PLAIN_IMAGES = 200
MODEL_BATCHES = 96


def run(images: Path, threads: int, rounds: int) -> list[Ratio]:
    source = open_source(images)
    paths = [path for path in sorted(images.rglob("*")) if path.is_file()][:PLAIN_IMAGES]
    engine, plain = Engine(threads=threads), PlainProgram(threads)
    _check_parity(plain, paths[:32])
    bundle = Bundle()
    networks = {name: open_network(bundle.networks(name)[0]) for name in ("int8", "float32")}
    size, batch = networks["int8"].input_size, networks["int8"].batch
    pixels = np.stack([decode(image.read(), size) for image, _ in zip(source, range(batch), strict=False)])
    stages: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(threads) as pool:

        def whole() -> None:
            summary = engine.embed_source(images, Path(folder) / "ours.h5")
            stages.append({**summary.stage_seconds, "all": summary.seconds})

        def decode_only() -> None:
            for _ in pool.map(lambda image: decode(image.read(), size), source):
                pass

        def model_only(name: str) -> None:
            list(pool.map(lambda _: networks[name](pixels), range(MODEL_BATCHES)))

        times = interleave(
            {
                "whole": whole,
                "plain": lambda: plain.run(paths, Path(folder) / "plain.h5"),
                "decode": decode_only,
                "int8": lambda: model_only("int8"),
                "float32": lambda: model_only("float32"),
            },
            rounds,
        )
    count, modelled = len(source), MODEL_BATCHES * batch
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
            8.0,
            count / len(paths),
        ),
        Ratio("whole pipeline / shared-core ceiling", [c / w for c, w in zip(ceiling, whole_each, strict=True)], 0.90),
        ratio("int8 / float32, model only", times["float32"], times["int8"], 2.0),
        Ratio("share of wall time spent writing journal and HDF5", written, 0.02, at_most=True),
    ]


def _check_parity(plain: PlainProgram, paths: list[Path]) -> None:
    """The plain program computes the same descriptors, but for Pillow's resize."""
    cosine = (plain.embed(paths) * Engine(precision="float32").embed(paths)).sum(axis=1)
    if np.median(cosine) < 0.9:
        raise AssertionError(f"the plain program computes something else: median cosine {np.median(cosine):.3f}")
