"""float32 ONNX to int8: static quantisation, per channel, unsigned activations and signed weights."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from .canonical import make_canonical
from .onnx import INPUT
from .simplify import drop_unused_constants
from .stem import rearrange_stem

_CALIBRATION_BATCH = 16


class _Photos(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter(
            pixels[i : i + _CALIBRATION_BATCH] for i in range(0, len(pixels), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def quantize_int8(source: Path, target: Path, photos: NDArray[np.uint8], scale: tuple[float, float] | None) -> None:
    """Quantise a network's convolutions and linear layers; GeM pooling stays float32. Equal networks and photographs give equal
    files, byte for byte.

    photos: uint8 [N, S, S, 3], of the kind the network will see, used to find the range of every tensor.
    scale: (offset, divisor) of a network that begins with ``(pixels - offset) / divisor``, the offset a whole number, and a
    convolution that can be rearranged (see ``stem``); None leaves the beginning as it is.
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
            op_types_to_quantize=["Conv", "Add", "Clip", "Gemm"],
        )
    model = onnx.load(str(target))
    if scale is not None:
        rearrange_stem(model.graph, INPUT, photos.shape[1], *scale)
    drop_unused_constants(model.graph)
    del model.graph.value_info[:]  # shapes of the graph as it was before
    make_canonical(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))
