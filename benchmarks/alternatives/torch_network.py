"""A network of the bundle as a torch module: the float32 ONNX graph, operator by operator, in what a user would write.

The weights exist as ONNX alone, so the module is made of the file; its forward is a list of calls to torch functions, which
torch.compile traces as it would any other.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everybody calls it


class TorchNetwork(torch.nn.Module):
    """uint8 [N, S, S, 3] -> float32 [N, E]. Raises: ValueError for an operator that the bundle's networks do not have."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        self._input, self._output = graph.input[0].name, graph.output[0].name
        constants = {entry.name: onnx.numpy_helper.to_array(entry) for entry in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        self._sizes = {name: value for name, value in constants.items() if value.dtype == np.int64}
        self._names = {name: f"constant_{number}" for number, name in enumerate(constants)}
        for name, value in constants.items():
            self.register_buffer(self._names[name], torch.from_numpy(value.copy()))
        self._calls = [self._call(node) for node in graph.node if node.op_type != "Constant"]

    def forward(self, pixels: Tensor) -> Tensor:
        values = {name: getattr(self, own) for name, own in self._names.items()} | {self._input: pixels}
        for inputs, output, function in self._calls:
            values[output] = function(*(values[name] for name in inputs))
        return values[self._output]

    def _call(self, node: onnx.NodeProto) -> tuple[list[str], str, Callable[..., Tensor]]:
        attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        inputs = list(node.input)
        if node.op_type == "ReduceL2":  # its axes are an input, and have to be known beforehand
            attributes["axes"] = self._sizes[inputs.pop()].tolist()
        return inputs, node.output[0], _function(node.op_type, attributes)


def _function(kind: str, a: dict) -> Callable[..., Tensor]:
    if kind == "Conv":
        return _convolution(a)
    if kind == "MaxPool":
        return lambda x: F.max_pool2d(x, a["kernel_shape"], a["strides"], a["pads"][0])
    if kind == "ReduceL2":
        return lambda x: torch.linalg.vector_norm(x, dim=a["axes"], keepdim=bool(a["keepdims"]))
    if kind == "Shape":
        return lambda x: torch.tensor(x.shape[a.get("start", 0) : a.get("end")], dtype=torch.int64)
    functions: dict[str, Callable[..., Tensor]] = {
        "Cast": lambda x: x.float() if x.dtype == torch.uint8 else x,
        "Clip": torch.clamp,
        "Sub": torch.sub,
        "Div": torch.div,
        "Add": torch.add,
        "Transpose": lambda x: x.permute(a["perm"]),
        "Concat": lambda *parts: torch.cat(parts, a["axis"]),
        "Gemm": lambda x, weight, bias=None: F.linear(x, weight if a.get("transB") else weight.T, bias),
        "Expand": lambda x, shape: x,  # the division after it broadcasts
    }
    if kind not in functions:
        raise ValueError(f"no torch function for {kind}")
    return functions[kind]


def _convolution(a: dict) -> Callable[..., Tensor]:
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    even = (top, left) == (bottom, right)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        padded = x if even else F.pad(x, (left, right, top, bottom))
        return F.conv2d(padded, weight, bias, a["strides"], (top, left) if even else 0, a["dilations"], a["group"])

    return run
