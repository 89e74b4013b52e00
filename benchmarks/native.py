"""The int8 networks of a bundle by the native core and by ONNX Runtime: the same rows, and how much less time they take:

    python -m benchmarks.native                  # --batch 1, --rounds 9, --bundle B

One thread's processor time, the two taking turns, so that it can be measured beside other programs. The rows have to be the
same to the last bit, or nothing is measured.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import DEFAULT_BUNDLE, Bundle
from copytrace.engine.infer import NativeNetwork, Network, OrtNetwork

from .harness import Ratio, machine

CALLS = 3
WANTED = 1.3


def seconds(network: Network, pixels: NDArray[np.uint8]) -> float:
    """Of this thread's processor time, for one image."""
    start = time.thread_time()
    for _ in range(CALLS):
        network(pixels)
    return (time.thread_time() - start) / CALLS / len(pixels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(f"{machine()}; one thread, {options.batch} images together, processor time\n")
    total = {"native": np.zeros(options.rounds), "onnx": np.zeros(options.rounds)}
    for file in Bundle(options.bundle).networks("int8"):
        side = file.input_size
        pixels = np.random.default_rng(0).integers(0, 256, (options.batch, side, side, 3), np.uint8)
        networks: dict[str, Network] = {
            "native": NativeNetwork(file.path, batch=options.batch),
            "onnx": OrtNetwork(file.path, batch=options.batch),
        }
        if networks["native"](pixels).tobytes() != networks["onnx"](pixels).tobytes():
            raise SystemExit(f"{file.path.name}: the rows are not the same")
        for turn in range(options.rounds + 1):  # the first one warms up
            for name, network in networks.items():
                spent = seconds(network, pixels)
                if turn:
                    total[name][turn - 1] += spent
    native, onnx = (1000 * statistics.median(total[name].tolist()) for name in ("native", "onnx"))
    print(f"milliseconds an image, all int8 networks: native {native:.2f}, ONNX Runtime {onnx:.2f}")
    print(Ratio("native / ONNX Runtime", (total["onnx"] / total["native"]).tolist(), WANTED).line())


if __name__ == "__main__":
    main()
