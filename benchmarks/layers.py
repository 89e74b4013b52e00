"""Where the networks' time goes, kind by kind of layer, and how that compares with what the processor's dot products allow:

    python -m benchmarks.layers                  # int8; --precision float32, --batch 1, --each for every layer

ONNX Runtime's own profile on one thread, the first quarter of each layer's calls (on a busy machine the rest waited). The
peak is measured by a loop of VNNI instructions that waits for nothing, compiled for the purpose.
"""

import argparse
import json
import subprocess
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from copytrace.engine import Bundle
from copytrace.engine.manifest import NetworkFile

from .harness import machine

PEAK = r"""
#include <immintrin.h>
#include <stdio.h>
#include <time.h>
int main(void) {
  __m512i sums[12], a = _mm512_set1_epi32(0x01010101), b = a;
  for (int i = 0; i < 12; ++i) sums[i] = _mm512_setzero_si512();
  double best = 0;
  for (int round = 0; round < 20; ++round) {
    struct timespec from, to;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (long turn = 0; turn < 2000000; ++turn) {
#pragma GCC unroll 12
      for (int i = 0; i < 12; ++i) __asm__("vpdpbusd %1, %2, %0" : "+v"(sums[i]) : "v"(a), "v"(b));
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    double seconds = (to.tv_sec - from.tv_sec) + 1e-9 * (to.tv_nsec - from.tv_nsec);
    double rate = 12 * 64 * 2e6 / seconds / 1e9;
    if (rate > best) best = rate;
  }
  printf("%f %d\n", best, _mm512_reduce_add_epi32(sums[3]));
}
"""


@dataclass(frozen=True)
class Layer:
    """One node: its kind, microseconds and multiplications (in millions) an image, and the shape of what it gives."""

    kind: str
    microseconds: float
    products: float
    shape: list[int]


def peak() -> float | None:
    """Billions of products a second by vpdpbusd on one thread; None where there is no such instruction, or no compiler."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "peak.c", Path(folder) / "peak"
        source.write_text(PEAK)
        try:
            subprocess.run(
                ["gcc", "-O2", "-mavx512f", "-mavx512vnni", str(source), "-o", str(program)],
                check=True,
                capture_output=True,
            )
            return float(subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()[0])
        except (OSError, subprocess.CalledProcessError):
            return None


def profile(file: NetworkFile, batch: int, calls: int) -> list[Layer]:
    """Every node of a network as ONNX Runtime runs it, in order."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.enable_profiling = 1, True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(file.path, options, providers=["CPUExecutionProvider"])
        side = file.input_size
        pixels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)
        for _ in range(calls):
            session.run(None, {session.get_inputs()[0].name: pixels})
        events = json.loads(Path(session.end_profiling()).read_text())
    times, about = defaultdict(list), {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["name"]].append(event["dur"])
            about[event["name"]] = event["args"]
    weights = _weights(file.path)
    return [
        _layer(
            about[name], weights.get(name.partition("_token_")[0]), float(np.percentile(times[name], 25)) / batch, batch
        )
        for name in times
    ]


def _weights(path: Path) -> dict[str, list[int]]:
    """The shape of each convolution's weights, by node: int8 ones are packed, and no shape of them is told."""
    graph = onnx.load(path).graph
    shapes = {entry.name: list(entry.dims) for entry in graph.initializer}
    shapes |= {
        n.output[0]: shapes[n.input[0]] for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in shapes
    }
    return {node.name: shapes[node.input[1]] for node in graph.node if node.op_type == "Conv"}


def _layer(about: dict, weight: list[int] | None, microseconds: float, batch: int) -> Layer:
    shape = next(iter(about["output_type_shape"][0].values()), [])
    operator = about["op_name"]
    if not operator.endswith(("Conv", "Gemm")):
        kind = "pooling" if operator in ("NhwcMaxPool", "MaxPool", "ReduceL2") else "other"
        return Layer(kind, microseconds, 0.0, shape)
    shapes = [next(iter(one.values()), []) for one in about["input_type_shape"]]
    if operator.endswith("Gemm"):
        weight = [shape[-1], shapes[0][-1]]
    elif weight is None:  # float32: the shape is told
        weight = next(one for one in shapes[1:] if len(one) == 4)
    taps = int(np.prod(weight[1:]))
    places = int(np.prod(shape)) / batch
    return Layer(_kind(weight), microseconds, places * taps / 1e6, shape)


def _kind(weight: list[int]) -> str:
    if len(weight) != 4:
        return "dense"
    if weight[2:] == [1, 1]:
        return "pointwise"
    return "depthwise" if weight[1] == 1 else "first"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=["int8", "float32"], default="int8")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--each", action="store_true", help="every layer, too")
    options = parser.parse_args()
    most = peak()
    known = "" if most is None else f", VNNI peak {most:.0f} billion products a second"
    print(f"{machine()}; one thread, {options.batch} images together{known}\n")
    for file in Bundle().networks(options.precision):
        layers = profile(file, options.batch, options.calls)
        if options.each:
            for layer in sorted(layers, key=lambda layer: -layer.microseconds):
                print(f"{layer.microseconds:8.1f} us  {layer.products:7.2f} million  {layer.kind:<10} {layer.shape}")
        print(table(file.path.name, layers, most))


def table(name: str, layers: list[Layer], most: float | None) -> str:
    """Markdown: a row for each kind of layer, and one for all."""
    lines = [
        f"| {name} | layers | us an image | share | million products | billion a second | of the peak |",
        "|---|---|---|---|---|---|---|",
    ]
    total = sum(layer.microseconds for layer in layers)
    kinds = sorted(
        {layer.kind for layer in layers}, key=lambda kind: -sum(a.microseconds for a in layers if a.kind == kind)
    )
    for kind in (*kinds, "all"):
        group = [layer for layer in layers if kind in (layer.kind, "all")]
        time, products = sum(a.microseconds for a in group), sum(a.products for a in group)
        rate = 1000 * products / time
        share = f"{rate / most:.2f}" if most is not None and products else ""
        lines.append(
            f"| {kind} | {len(group)} | {time:.0f} | {time / total:.2f} | {products:.1f} | {rate:.1f} | {share} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
