"""float32 ONNX to int8: static quantisation, per channel, unsigned activations and signed weights."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from .onnx import INPUT

_CALIBRATION_BATCH = 16


class _Photos(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter(
            pixels[i : i + _CALIBRATION_BATCH] for i in range(0, len(pixels), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def quantize_int8(source: Path, target: Path, photos: NDArray[np.uint8], scale: tuple[float, float]) -> None:
    """Quantise a network that begins with ``(pixels - offset) / divisor``; GeM pooling stays float32.

    photos: uint8 [N, S, S, 3], of the kind the network will see, used to find the range of every tensor.
    scale: (offset, divisor), the offset a whole number.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _Photos(photos),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Add", "Clip"],
        )
    model = onnx.load(str(target))
    _take_pixels_as_quantised(model.graph, *scale)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def _take_pixels_as_quantised(graph: Any, offset: float, divisor: float) -> None:
    """Feed the bytes to the first convolution as they are.

    Pixels are a quantised tensor already, of scale 1 / divisor and zero point ``offset``: turning them into floats and back
    is exact and costs a twentieth of the whole network.
    """
    producers = {name: node for node in graph.node for name in node.output}
    quantise = next(
        node for node in graph.node if node.op_type == "QuantizeLinear" and INPUT in _sources(node, producers)
    )
    dequantise = next(
        node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] == quantise.output[0]
    )
    constants: dict[str, NDArray[Any]] = {
        dequantise.input[1]: np.array(1.0 / divisor, np.float32),
        dequantise.input[2]: np.array(round(offset), np.uint8),
    }
    for initializer in graph.initializer:
        if initializer.name in constants:
            initializer.CopyFrom(numpy_helper.from_array(constants[initializer.name], initializer.name))
    transpose = helper.make_node("Transpose", [INPUT], [quantise.output[0]], name="pixels_to_nchw", perm=[0, 3, 1, 2])
    dead = _chain(quantise, producers)
    kept = [transpose, *(node for node in graph.node if node.name not in dead)]
    del graph.node[:]
    graph.node.extend(kept)


def _sources(node: Any, producers: dict[str, Any]) -> set[str]:
    """Names of the graph inputs and initializers that a node's first input goes back to."""
    name = node.input[0]
    while name in producers:
        name = producers[name].input[0]
    return {name}


def _chain(node: Any, producers: dict[str, Any]) -> set[str]:
    """The node and everything it goes back to along first inputs."""
    names = {node.name}
    while node.input[0] in producers:
        node = producers[node.input[0]]
        names.add(node.name)
    return names
