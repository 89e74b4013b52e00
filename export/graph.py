"""What several passes ask of an ONNX graph: where a tensor comes from, who reads it, how many axes it has."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from copytrace.engine import CopytraceError

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operations that multiply with weights: where the time goes."""


def load_float32(path: Path) -> Any:
    """A float32 network, its tensors' types and shapes inferred.

    Raises: CopytraceError for a file that is none.
    """
    try:
        model = onnx.shape_inference.infer_shapes(
            onnx.load(str(path)), check_type=True, strict_mode=True, data_prop=True
        )
    except Exception as error:  # protobuf's and onnx's own, with no common base
        raise CopytraceError(f"{path}: not a network: {' '.join(str(error).split())[:200]}") from None
    graph = model.graph
    if any(node.op_type == "DequantizeLinear" for node in graph.node):
        raise CopytraceError(f"{path}: quantised already; give the float32 network")
    if any(tensor.data_type == TensorProto.FLOAT16 for tensor in graph.initializer):
        raise CopytraceError(f"{path}: has float16 in it already; give the float32 network")
    if model.functions or any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        raise CopytraceError(f"{path}: has functions or branches in it, which cannot be converted")
    return model


class Wiring:
    """Who makes and who reads each tensor of a graph, as it was when this was made."""

    def __init__(self, graph: Any) -> None:
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.producers = {name: node for node in graph.node for name in node.output}
        self.users: dict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.users[name].append(node)
        self.outputs = [output.name for output in graph.output]
        self._types = {info.name: info.type.tensor_type for info in (*graph.input, *graph.output, *graph.value_info)}

    def is_float(self, name: str) -> bool:
        """Whether a tensor or constant is float32."""
        if name in self.constants:
            return bool(self.constants[name].data_type == TensorProto.FLOAT)
        return name in self._types and bool(self._types[name].elem_type == TensorProto.FLOAT)

    def rank(self, name: str) -> int:
        """Number of axes."""
        return len(self.constants[name].dims) if name in self.constants else len(self._types[name].shape.dim)


def key(node: Any) -> str:
    """What a node is called here: exporters need not name nodes, and every output has a name of its own."""
    return str(node.output[0])
