"""Computes what a graph computes of constants alone, once and for all.

NFNets standardise their weights in every pass; exported, that is half of their nodes, and a weight that is computed cannot be
quantised or halved.
"""

from typing import Any

import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

_RANDOM = ("RandomNormal", "RandomUniform", "Bernoulli", "Multinomial")


def fold_constants(model: Any) -> None:
    """Replace every node that reads constants only by what it gives. Works in place."""
    graph = model.graph
    known = {tensor.name for tensor in graph.initializer}
    constant: list[Any] = []
    for node in graph.node:  # in the order in which they are computed
        if all(name in known for name in node.input if name) and node.op_type not in _RANDOM:
            constant.append(node)
            known.update(node.output)
    if not constant:
        return
    made = [name for node in constant for name in node.output if name]
    others = [node for node in graph.node if not any(node is one for one in constant)]
    read = {name for node in others for name in node.input} | {output.name for output in graph.output}
    wanted = [name for name in made if name in read]
    inputs = {name for node in constant for name in node.input}
    part = helper.make_graph(
        constant,
        "constants",
        [],
        [onnx.ValueInfoProto(name=name) for name in wanted],
        [tensor for tensor in graph.initializer if tensor.name in inputs],
    )
    alone = helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session: Any = ort.InferenceSession(alone.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = session.run(wanted, {})
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in zip(wanted, values, strict=True))
    kept = [type(node).FromString(node.SerializeToString()) for node in others]
    del graph.node[:]
    graph.node.extend(kept)
