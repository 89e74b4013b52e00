"""Decoders of many images at a time against the decoder of one: pixels, descriptors, and speed side by side.

    python -m benchmarks.decoders PHOTOGRAPHS [--device cuda] [--count 200] [--rounds 5] [-o record.json]

Pixels: photographs are brought to a shorter side near the network's square, and to 2, 3, 4 and 8 times it, and encoded anew;
the mean absolute difference in grey levels against ``decode_sizes``, over the pictures its mean and most; and the cosine
between the descriptors of both by the float32 networks, its mean, 1st percentile and least. Speed: bytes in memory to
squares, each as the pipeline calls it, in batches from as many threads as it asks for; on a card that is what chooses between
the two.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.harness import interleave, machine
from copytrace.engine import Engine
from copytrace.engine.device import on_host
from copytrace.engine.embedder import Decoded
from copytrace.engine.pipeline import chunks_of
from copytrace.engine.read import Image, open_source

RATIOS = (1.2, 2.0, 3.0, 4.0, 8.0)
DECODERS = ("cpu", "dali", "nvimgcodec")
QUALITY = 92


def resized(data: bytes, shorter: int) -> bytes:
    """A photograph as a JPEG with this shorter side."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    scale = shorter / min(pixels.shape[:2])
    size = [round(side * scale) for side in pixels.shape[1::-1]]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def as_images(files: Sequence[bytes]) -> list[Image]:
    def reading(data: bytes) -> Callable[[], bytes]:
        return lambda: data

    return [Image(str(number), reading(data)) for number, data in enumerate(files)]


def compared(plain: Engine, other: Engine, images: Sequence[Image]) -> dict[str, float]:
    """Pixels and descriptors of one decoder against those of the decoder for one."""

    def squares(engine: Engine) -> list[Decoded]:
        size = engine.embedder.batch
        return [done for chunk in chunks_of(images, size) for done in engine.embedder.decode(chunk)]

    apart = [
        np.mean([np.abs(on_host(a).astype(int) - on_host(b)).mean() for a, b in zip(*both, strict=True)])
        for both in (
            (one.all_pixels[0], two.all_pixels[0]) for one, two in zip(squares(plain), squares(other), strict=True)
        )
    ]
    files = [image.read() for image in images]
    cosines = (plain.embed(files) * other.embed(files)).sum(axis=1)
    return {
        "mean_difference": float(np.mean(apart)),
        "most_difference": float(np.max(apart)),
        "mean_cosine": float(cosines.mean()),
        "p1_cosine": float(np.percentile(cosines, 1)),
        "least_cosine": float(cosines.min()),
    }


def decoded_all(engine: Engine, images: Sequence[Image], pool: ThreadPoolExecutor) -> None:
    for _ in pool.map(engine.embedder.decode, chunks_of(images, engine.embedder.batch)):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()

    files = [image.read() for image, _ in zip(open_source(args.photographs), range(args.count), strict=False)]
    engines = {name: Engine(device=args.device, precision="float32", decoder=name) for name in DECODERS}
    square = max(engines["cpu"].embedder.sizes)
    record: dict[str, Any] = {"machine": machine(), "runtime": engines["cpu"].runtime, "pixels": {}, "speed": {}}
    with ThreadPoolExecutor(engines["cpu"].embedder.decoders) as pool:
        for times in RATIOS:
            images = as_images([resized(data, round(times * square)) for data in files])
            for name in DECODERS[1:]:
                found = record["pixels"][f"{name}, {times} x"] = compared(engines["cpu"], engines[name], images)
                print(
                    f"{name:<11} {times} x " + "  ".join(f"{key} {value:.5f}" for key, value in found.items()),
                    flush=True,
                )
            runs = {
                name: (lambda engine=engine, images=images: decoded_all(engine, images, pool))
                for name, engine in engines.items()
            }
            for name, seconds in interleave(runs, args.rounds).items():
                rates = record["speed"][f"{name}, {times} x"] = [len(images) / value for value in seconds.seconds]
                print(
                    f"{name:<11} {times} x {len(images) / seconds.median:9.0f} images/s "
                    f"({min(rates):.0f} to {max(rates):.0f})",
                    flush=True,
                )
    if args.output:
        args.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
