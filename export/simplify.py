"""Takes out of an exported graph what computes nothing."""

from typing import Any

from onnx import numpy_helper

_NEGLIGIBLE = 1e-5


def drop_idle_clips(graph: Any) -> None:
    """Remove clips from below at (nearly) zero behind a clip or ReLU that lets nothing negative through.

    GeM pooling clamps its map so that powers of negative numbers cannot occur; behind ReLU that costs a pass over the map,
    and two more in an int8 network. What changes is that a map of zeros is pooled to 0 instead of to the clamp's 1e-6.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}

    def lowest(name: str) -> float:
        """A bound below on the values of a tensor."""
        node = producers.get(name)
        while node is not None and node.op_type == "MaxPool":
            node = producers.get(node.input[0])
        if node is None or node.op_type not in ("Relu", "Clip"):
            return float("-inf")
        if node.op_type == "Relu":
            return 0.0
        bound = constants.get(node.input[1]) if len(node.input) > 1 else None
        return float("-inf") if bound is None else float(bound)

    for node in [node for node in graph.node if node.op_type == "Clip"]:
        limited_above = len(node.input) > 2 and node.input[2]
        if not limited_above and 0.0 <= lowest(node.output[0]) <= _NEGLIGIBLE and lowest(node.input[0]) >= 0.0:
            for user in graph.node:
                for place, name in enumerate(user.input):
                    if name == node.output[0]:
                        user.input[place] = node.input[0]
            graph.node.remove(node)


def drop_unused_constants(graph: Any) -> None:
    """Remove constants that no node reads."""
    read = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
