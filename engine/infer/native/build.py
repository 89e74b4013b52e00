"""A quantised graph of ONNX Runtime's (QDQ) -> the native core's layers.

Understood are networks of the family of EfficientNet-Lite, as :mod:`copytrace.export.int8` makes them: convolutions, depthwise
ones, sums; GeM poolings of power 2 of some maps; standardised features, a dense layer, rows of unit length. The graph is
followed from its output backwards. What is computed is what ONNX Runtime makes of it, to the last bit: see
``csrc/network/kernels.hpp``.
"""

from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ... import _network
from ..signature import Signature
from .onnx_file import Graph, Node, UnreadableError, read_graph
from .stem import narrowed
from .wiring import NotUnderstoodError, Wiring, check

_UINT8, _FLOAT = 2, 1
TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


def build(path: Path, isa: str = "auto") -> tuple[_network.Network, Signature]:
    """A network's file made ready to run. Raises: NotUnderstoodError, OSError."""
    try:
        graph = read_graph(path)
    except UnreadableError as error:
        raise NotUnderstoodError(str(error)) from error
    side = _side(graph)
    try:
        with np.errstate(all="ignore"):  # what is no number is refused where it is used
            network = _Builder(graph, side, isa).network
    except (
        ValueError,
        TypeError,
        IndexError,
        RecursionError,
    ) as error:  # of what does not fit together, odd attributes, rings
        raise NotUnderstoodError(str(error)) from error
    return network, Signature(graph.inputs[0].name, graph.outputs[0].name, side, network.dimension)


def _side(graph: Graph) -> int:
    """Of the square that it takes; it gives one row for each picture."""
    check(len(graph.inputs) == 1 and len(graph.outputs) == 1, "other inputs or outputs")
    (taken,), (given,) = graph.inputs, graph.outputs
    shape = taken.shape
    square = len(shape) == 4 and shape[0] == -1 and shape[1] == shape[2] > 0 and shape[3] == 3
    check(square and taken.dtype == _UINT8, "other pixels than uint8 [N, S, S, 3]")
    check(len(given.shape) == 2 and given.shape[0] == -1 and given.dtype == _FLOAT, "other rows than float32 [N, E]")
    return shape[1]


class _Builder:
    """Follows the graph backwards; every map is made once, when it is first needed."""

    def __init__(self, graph: Graph, side: int, isa: str) -> None:
        self.wiring = Wiring(graph)
        self.network = _network.Network(side, side, 3, isa)
        self.pixels = graph.inputs[0].name
        self.side = side
        self._maps: dict[str, int] = {}
        self._head(graph.outputs[0].name)
        check(self.network.dimension == graph.outputs[0].shape[1], "rows of another length than it says")

    def _head(self, output: str) -> None:
        wiring = self.wiring
        divide = wiring.maker(output, "Div")
        rows = wiring.quantised(divide.inputs[0])
        length = wiring.maker(wiring.maker(divide.inputs[1], "Expand").inputs[0], "Clip")
        check(len(length.inputs) == 2 or not any(length.inputs[2:]), "lengths that are also bounded above")
        norm = wiring.maker(length.inputs[0], "ReduceL2")
        check(norm.inputs[0] == divide.inputs[0] and self._axes(norm) == [1], "rows divided by something else")
        check(norm.attributes.get("keepdims", 1) == 1, "rows divided by something else")
        quantise = wiring.maker(rows.name, "QuantizeLinear")
        gemm = wiring.quantised_at_once(quantise, "Gemm")
        flat = (gemm.attributes.get(name) for name in ("alpha", "beta", "transA", "transB"))
        check(tuple(flat) in ((1.0, 1.0, 0, 1), (None, None, None, 1)), "a dense layer of another form")
        check(len(gemm.inputs) == 2, "a dense layer with a bias")
        features = wiring.quantised(gemm.inputs[0])
        weights, scales = wiring.weights(gemm.inputs[1], np.int8)
        check(weights.ndim == 2, "a dense layer of another form")
        scale_out, zero_out = wiring.steps(quantise)
        check((rows.scale, rows.zero) == (scale_out, zero_out), "rows quantised one way and read another")
        standardise = wiring.maker(features.name, "QuantizeLinear")
        check(
            wiring.steps(standardise) == (features.scale, features.zero), "features quantised one way and read another"
        )
        by_deviation = wiring.maker(standardise.inputs[0], "Div")
        less_mean = wiring.maker(by_deviation.inputs[0], "Sub")
        self._pools(less_mean.inputs[0])
        size = self.network.features
        self.network.head(
            wiring.floats(less_mean.inputs[1], size),
            wiring.floats(by_deviation.inputs[1], size),
            steps(features.scale, features.zero),
            np.ascontiguousarray(weights, np.int8),
            np.zeros(len(weights), np.int32),
            requantising(features.scale, scales, scale_out),
            steps(scale_out, zero_out),
            wiring.scalar(length.inputs[1]),
        )

    def _pools(self, features: str) -> None:
        wiring = self.wiring
        concat = wiring.maker(features, "Concat")
        check(concat.attributes.get("axis") in (1, -1), "features side by side along another axis")
        for name in concat.inputs:
            divide = wiring.maker(name, "Div")
            norm = wiring.maker(divide.inputs[0], "ReduceL2")
            check(
                sorted(self._axes(norm)) == [2, 3] and norm.attributes.get("keepdims") == 0, "pooling of another form"
            )
            pooled, cell = norm.inputs[0], 1
            node = wiring.maker(pooled, "MaxPool", "DequantizeLinear")
            if node.operator == "MaxPool":
                pooled, cell = node.inputs[0], self._cell(node)
            tensor = wiring.quantised(pooled)
            by = wiring.scalar(divide.inputs[1])
            self.network.pool(self._map(tensor.name), cell, steps(tensor.scale, tensor.zero), by)

    def _map(self, name: str) -> int:
        """The number of a tensor of bytes [N, C, H, W]."""
        if name not in self._maps:
            self._maps[name] = self._made(name)
        return self._maps[name]

    def _made(self, name: str) -> int:
        node = self.wiring.maker(name, "QuantizeLinear", "Transpose")
        if node.operator == "Transpose":
            check(node.attributes.get("perm") == TO_NCHW, "a transposition of another kind")
            return 0 if node.inputs[0] == self.pixels else self._stem(node.inputs[0])
        scale, zero = self.wiring.steps(node)
        made = self.wiring.quantised_at_once(node, "Conv", "Add")
        return self._sum(made, scale, zero) if made.operator == "Add" else self._convolution(made, scale, zero)

    def _sum(self, node: Node, scale: np.float32, zero: int) -> int:
        """Not where ONNX Runtime's bytes are others: from 2^31 on it takes a number for a negative one, and single numbers it
        adds in another order."""
        a, b = (self.wiring.quantised(name) for name in node.inputs)
        left, right = self._map(a.name), self._map(b.name)
        check(bool(max(a.scale, b.scale) / scale < 2**20), "a sum of numbers too large for its bytes")
        check(prod(self.network.shape(left)) > 1, "a sum of single numbers")
        return self.network.sum(left, steps(a.scale, a.zero), right, steps(b.scale, b.zero), steps(scale, zero))

    def _convolution(self, node: Node, scale: np.float32, zero: int) -> int:
        """Weights [O, C / groups, height, width] -> [O, height, width, C], of a depthwise one [height, width, O]."""
        taken = self.wiring.quantised(node.inputs[0])
        weights, bias, scales = self._constants(node, taken.scale)
        step, pads = self._window(node, weights)
        source = self._map(taken.name)
        groups, channels = node.attributes.get("group", 1), self.network.shape(source)[2]
        depthwise = groups == channels == len(weights) and channels > 1 and weights.shape[1] == 1
        check(depthwise or groups == 1, "a convolution in groups")
        layer = self.network.depthwise if depthwise else self.network.convolution
        laid = weights[:, 0].transpose(1, 2, 0) if depthwise else weights.transpose(0, 2, 3, 1)
        by = requantising(taken.scale, scales, scale)
        return layer(source, np.ascontiguousarray(laid), bias, by, taken.zero, zero, step, pads)

    def _stem(self, name: str) -> int:
        """The first convolution as :mod:`copytrace.export.stem` rearranges it, put back: 3 x 3 of step 2 on pixels."""
        wiring = self.wiring
        shape = wiring.maker(name, "Reshape")
        wide = wiring.maker(shape.inputs[0], "Transpose")
        check(wide.attributes.get("perm") == TO_NHWC, "a transposition of another kind")
        quantise = wiring.maker(wide.inputs[0], "QuantizeLinear")
        scale, zero = wiring.steps(quantise)
        node = wiring.quantised_at_once(quantise, "Conv")
        taken = wiring.quantised(node.inputs[0])
        blocks = wiring.maker(taken.name, "Transpose")
        pixels = wiring.maker(blocks.inputs[0], "Reshape")
        check(pixels.inputs[0] == self.pixels and blocks.attributes.get("perm") == TO_NCHW, "another beginning")
        weights, bias, scales = self._constants(node, taken.scale)
        stem = narrowed(weights, bias, scales)
        size = self.side // 2
        expected = [-1, self.side, self.side // 4, 12], [-1, size, size, len(stem.weights)]
        shapes = [wiring.integers(one.inputs[1]) for one in (pixels, shape)]
        check(shapes == list(expected) and self.side % 4 == 0, "another beginning")
        form = [node.attributes.get(key) for key in ("strides", "pads", "group")]
        check(form == [[2, 1], [0, 0, 1, 1], 1] and self._plain(node), "another beginning")
        laid, by = (
            np.ascontiguousarray(stem.weights.transpose(0, 2, 3, 1)),
            requantising(taken.scale, stem.scales, scale),
        )
        return self.network.convolution(0, laid, stem.bias, by, taken.zero, zero, 2, [0, 0, 1, 1])

    def _constants(
        self, node: Node, scale: np.float32
    ) -> tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.float32]]:
        """Weights, bias and the weights' scales of a convolution. Bias is in steps of both scales' product."""
        check(len(node.inputs) == 3, "a convolution without bias")
        weights, scales = self.wiring.weights(node.inputs[1], np.int8)
        bias, bias_scales = self.wiring.weights(node.inputs[2], np.int32)
        check(weights.ndim == 4 and bias.shape == (len(weights),), "a convolution of another form")
        size = list(weights.shape[2:])
        check(node.attributes.get("kernel_shape", size) == size, "a convolution of another form")
        check(bool(np.allclose(bias_scales, scale * scales, rtol=1e-4, atol=0)), "a bias of other steps")
        return weights.astype(np.int8), np.ascontiguousarray(bias, np.int32), scales

    def _window(self, node: Node, weights: NDArray[np.int8]) -> tuple[int, list[int]]:
        strides, pads = (node.attributes.get(key) for key in ("strides", "pads"))
        check(
            isinstance(strides, list) and len(set(strides)) == 1 and self._plain(node), "a convolution of another form"
        )
        check(isinstance(pads, list) and len(pads) == 4, "a convolution of another form")
        assert isinstance(strides, list) and isinstance(pads, list)
        return strides[0], pads

    def _cell(self, node: Node) -> int:
        shape = node.attributes.get("kernel_shape")
        check(isinstance(shape, list) and len(shape) == 2 and shape[0] == shape[1], "cells that are not squares")
        form = [node.attributes.get(key) for key in ("strides", "pads", "ceil_mode")]
        check(form == [shape, [0, 0, 0, 0], 0] and self._plain(node), "cells that overlap or are padded")
        assert isinstance(shape, list)
        return shape[0]

    def _axes(self, node: Node) -> list[int]:
        check(len(node.inputs) == 2, "a sum over everything")
        return self.wiring.integers(node.inputs[1])

    @staticmethod
    def _plain(node: Node) -> bool:
        plain = {"auto_pad": "NOTSET", "dilations": [1, 1]}
        return all(node.attributes.get(key, value) == value for key, value in plain.items())


def steps(scale: np.float32, zero: int) -> _network.Steps:
    return _network.Steps(float(scale), zero)


def requantising(taken: np.float32, weights: NDArray[np.float32], given: np.float32) -> NDArray[np.float32]:
    """What a whole sum is multiplied with, [O]; in ONNX Runtime's order, on which the last bit depends."""
    return np.ascontiguousarray(taken * weights / given, np.float32)
