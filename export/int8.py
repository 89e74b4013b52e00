"""float32 ONNX to int8: static quantisation, per channel, unsigned activations and signed weights, as ONNX Runtime's kernels
for CPUs want it. TensorRT takes signed, symmetric activations only: for GPUs there is fp16."""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from .canonical import make_canonical
from .converted import Converted
from .graph import Wiring, load_float32
from .onnx import INPUT, run_onnx, spread_sample
from .parity import cosines
from .sensitive import keep_sensitive
from .simplify import drop_unused_constants
from .stem import rearrange_stem

WANTED_COSINE = 0.97
"""Mean cosine to float32 below which layers are sought that have to stay float."""
_KEEPS_RANGES = "calibration_cache_path" in signature(quantize_static).parameters
"""Whether ONNX Runtime is new enough to; older ones measure the ranges anew at every trial."""
_CALIBRATION_BATCH = 16
_MEASURED_ON = 64
_KINDS = ("Conv", "Add", "Clip", "Relu", "Gemm", "MatMul")
_KINDS_OF_TRANSFORMERS = ("Conv", "Gemm", "MatMul")
"""Sums stay float there: what they add up, over all blocks, has outliers that leave the rest no steps of 256."""


class _Photos(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter(
            pixels[i : i + _CALIBRATION_BATCH] for i in range(0, len(pixels), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def quantize_int8(source: Path, target: Path, photos: NDArray[np.uint8], *, wanted: float = WANTED_COSINE) -> Converted:
    """Quantise a network's convolutions and linear layers; GeM pooling stays float32, and so do layers without which the
    embeddings would differ too much (see :mod:`.sensitive`). Equal networks and photographs give equal files, byte for byte.

    photos: uint8 [N, S, S, 3], of the kind the network will see, used to find the range of every tensor. wanted: mean cosine
    to the float32 network that is enough.
    """
    graph = load_float32(source).graph
    transformer = any(node.op_type == "LayerNormalization" for node in graph.node)
    kinds = _KINDS_OF_TRANSFORMERS if transformer else _KINDS
    sample = spread_sample(photos, _MEASURED_ON)
    expected = run_onnx(source, sample)
    with tempfile.TemporaryDirectory() as folder:
        prepared, ranges = Path(folder) / "prepared.onnx", Path(folder) / "ranges.json"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)

        def quality(kept: frozenset[str]) -> float:
            _quantize(prepared, target, photos, ranges, kinds, kept)
            return float(cosines(expected, run_onnx(target, sample)).mean())

        nodes = [node.name for node in onnx.load(str(prepared)).graph.node if node.op_type in kinds]
        kept, cosine = keep_sensitive(nodes, quality, wanted)
        if kept:
            quality(kept)
    return Converted(len(kept), cosine)


def _quantize(
    prepared: Path,
    target: Path,
    photos: NDArray[np.uint8],
    ranges: Path,
    kinds: tuple[str, ...],
    kept: frozenset[str],
) -> None:
    """ranges: file of the tensors' ranges; they are measured when it is not there."""
    quantize_static(
        str(prepared),
        str(target),
        _Photos(photos),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=list(kinds),
        nodes_to_exclude=sorted(kept),
        extra_options={"MatMulConstBOnly": True},
        **({"calibration_cache_path": ranges} if _KEEPS_RANGES else {}),
    )
    model = onnx.load(str(target))
    scale = pixel_scale(model.graph)
    if scale is not None and not kept:
        with suppress(ValueError):  # of a first convolution that cannot be rearranged, which stays as it is
            rearrange_stem(model.graph, INPUT, photos.shape[1], *scale)
    drop_unused_constants(model.graph)
    del model.graph.value_info[:]  # shapes of the graph as it was before
    make_canonical(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def pixel_scale(graph: Any) -> tuple[float, float] | None:
    """(offset, divisor) of a network that begins with ``(pixels - offset) / divisor``, both the same for all channels and the
    offset a whole number; None for others."""
    wiring = Wiring(graph)

    def constant(node: Any) -> NDArray[Any]:
        return numpy_helper.to_array(wiring.constants[node.input[1]])

    chain = [node for node in graph.node if node.op_type in ("Cast", "Sub", "Div")][:3]
    if [node.op_type for node in chain] != ["Cast", "Sub", "Div"] or chain[0].input[0] != INPUT:
        return None
    if any(b.input[0] != a.output[0] or b.input[1] not in wiring.constants for a, b in pairwise(chain)):
        return None
    offset, divisor = (constant(node) for node in chain[1:])
    if offset.size != 1 or divisor.size != 1 or float(offset) != round(float(offset)):
        return None
    return float(offset), float(divisor)
