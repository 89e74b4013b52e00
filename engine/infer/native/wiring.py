"""A graph seen backwards: what made a value, and that it is what is looked for."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .onnx_file import Array, Graph, Node

_WINDOW = {"auto_pad", "dilations", "kernel_shape", "pads", "strides"}
_ATTRIBUTES = {
    "Concat": {"axis"},
    "Conv": {*_WINDOW, "group"},
    "DequantizeLinear": {"axis"},
    "Gemm": {"alpha", "beta", "transA", "transB"},
    "MaxPool": {*_WINDOW, "ceil_mode", "storage_order"},
    "QuantizeLinear": {"axis", "saturate"},
    "ReduceL2": {"keepdims", "noop_with_empty_axes"},
    "Reshape": {"allowzero"},
    "Transpose": {"perm"},
}
"""What each operator may be given; later versions of ONNX have more, as blocks of weights with scales of their own."""


class NotUnderstoodError(Exception):
    """A graph that is sound, as far as is known, but not of the family that the native runtime computes; says why."""


@dataclass(frozen=True)
class Quantised:
    """A tensor of bytes: a byte q stands for ``scale * (q - zero)``."""

    name: str
    scale: np.float32
    zero: int


class Wiring:
    def __init__(self, graph: Graph) -> None:
        made = [name for node in graph.nodes for name in node.outputs if name]
        names = [*made, *graph.constants, *(value.name for value in graph.inputs)]
        check(len(set(names)) == len(names), "two values of one name")
        self.constants = graph.constants
        self._made_by = {name: node for node in graph.nodes for name in node.outputs}
        self._readers = Counter(name for node in graph.nodes for name in node.inputs)

    def maker(self, name: str, *operators: str) -> Node:
        """The node that makes a value. Raises: NotUnderstoodError unless it is one of these operators."""
        node = self._made_by.get(name)
        if node is None or node.operator not in operators:
            found = "nothing" if node is None else node.operator
            raise NotUnderstoodError(f"{found} where {' or '.join(operators)} is expected")
        unknown = sorted(node.attributes.keys() - _ATTRIBUTES.get(node.operator, set()))
        check(not unknown, f"{node.operator} with {', '.join(unknown)}")
        return node

    def quantised_at_once(self, quantise: Node, *operators: str) -> Node:
        """The node whose numbers are quantised and not read otherwise: what ONNX Runtime computes on bytes. Where something
        else reads them as well, it computes them in floats, and rounds elsewhere."""
        node = self.maker(quantise.inputs[0], *operators)
        check(self._readers[quantise.inputs[0]] == 1, f"{node.operator} whose numbers are read twice")
        return node

    def constant(self, name: str) -> Array:
        if name not in self.constants:
            raise NotUnderstoodError(f"{name or 'an input'} is not a constant")
        return self.constants[name]

    def scalar(self, name: str, dtype: type[np.generic] = np.float32) -> float:
        array = self.constant(name)
        if array.size != 1 or array.ndim > 1 or array.dtype != dtype:
            raise NotUnderstoodError(f"{name} is not a single {dtype.__name__}")
        return float(array.reshape(())[()])

    def integers(self, name: str) -> list[int]:
        array = self.constant(name)
        if array.dtype != np.int64 or array.ndim > 1:
            raise NotUnderstoodError(f"{name} is not a row of int64")
        return [int(value) for value in array.reshape(-1)]

    def floats(self, name: str, size: int) -> NDArray[np.float32]:
        """A row of numbers, [size] or [1, size]."""
        array = self.constant(name)
        if array.dtype != np.float32 or array.size != size or array.shape[-1] != size:
            raise NotUnderstoodError(f"{name} is not a row of {size} numbers")
        return np.ascontiguousarray(array.reshape(size), np.float32)

    def steps(self, node: Node) -> tuple[np.float32, int]:
        """Scale and zero point of a node that quantises activations, or the other way."""
        if len(node.inputs) != 3:
            raise NotUnderstoodError(f"{node.operator} without a zero point")
        if self.constant(node.inputs[2]).dtype != np.uint8:
            raise NotUnderstoodError("activations that are not uint8")
        scale = np.float32(self.scalar(node.inputs[1]))
        if not (np.isfinite(scale) and scale > 0):
            raise NotUnderstoodError("a scale that is not positive")
        return scale, int(self.scalar(node.inputs[2], np.uint8))

    def quantised(self, name: str) -> Quantised:
        """What a value in floats is made from."""
        node = self.maker(name, "DequantizeLinear")
        return Quantised(node.inputs[0], *self.steps(node))

    def weights(self, name: str, dtype: type[np.generic]) -> tuple[Array, NDArray[np.float32]]:
        """Quantised constants, their zero points 0, [O, ...] and the scale of each output [O]."""
        node = self.maker(name, "DequantizeLinear")
        values, scales = self.constant(node.inputs[0]), self.constant(node.inputs[1])
        if values.dtype != dtype or scales.dtype != np.float32 or values.ndim == 0 or scales.ndim > 1:
            raise NotUnderstoodError(f"weights of {values.dtype}, their scales of {scales.dtype} {list(scales.shape)}")
        if len(node.inputs) > 2:
            zeros = self.constant(node.inputs[2])
            if zeros.dtype != dtype or zeros.ndim > 1 or zeros.size != scales.size or zeros.any():
                raise NotUnderstoodError("weights whose zero points are not 0, one for each scale")
        if scales.size not in (1, len(values)) or (scales.size > 1 and node.attributes.get("axis", 1) != 0):
            raise NotUnderstoodError("weights quantised along another axis")
        return values, np.broadcast_to(scales.reshape(-1).astype(np.float32), len(values))


def check(holds: bool, otherwise: str) -> None:
    """Raises: NotUnderstoodError."""
    if not holds:
        raise NotUnderstoodError(otherwise)
