"""One small change to an ONNX model, drawn at random: an attribute, a constant, a wire, a node."""

from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator
ATTRIBUTES: dict[str, list[Any]] = {
    "allowzero": [1],
    "alpha": [2.0],
    "auto_pad": ["SAME_UPPER", "VALID"],
    "axis": [0, 1, 2, -1],
    "beta": [2.0],
    "block_size": [1, 2],
    "ceil_mode": [1],
    "dilations": [[2, 2], [1, 2]],
    "group": [1, 2, 3],
    "keepdims": [0, 1],
    "kernel_shape": [[1, 1], [3, 3], [5, 5], [2, 2]],
    "noop_with_empty_axes": [1],
    "output_dtype": [2, 3],
    "pads": [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2], [1, 0, 0, 1]],
    "perm": [[0, 2, 3, 1], [0, 3, 2, 1]],
    "precision": [1],
    "saturate": [0],
    "start": [1],
    "storage_order": [1],
    "strides": [[1, 1], [2, 2], [1, 2], [3, 3], [2, 1]],
    "transA": [1],
    "transB": [0],
}
OTHER_OPERATORS = {
    "Add": ["Sub", "Mul", "Max"],
    "Concat": ["Sum"],
    "Div": ["Mul", "Sub"],
    "MaxPool": ["AveragePool"],
    "ReduceL2": ["ReduceL1", "ReduceMean", "ReduceMax"],
    "Sub": ["Add"],
}
SCALES = [0.0, -1.0, 1e-45, 1e-38, 1e-30, 1e-20, 1e-10, 1e-5, 1e5, 1e10, 1e20, 1e30, 3e38, np.inf, np.nan]


def one_of(random: Random, among: Any) -> Any:
    return list(among)[int(random.integers(len(among)))]


def attribute(model: Any, random: Random) -> str:
    from onnx import defs, helper

    node = one_of(random, model.graph.node)
    known = defs.get_schema(node.op_type, 23).attributes
    name = one_of(random, [name for name in ATTRIBUTES if name in known] or ["axis"])
    kept = [entry for entry in node.attribute if entry.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if random.random() < 0.9:
        node.attribute.append(helper.make_attribute(name, one_of(random, ATTRIBUTES[name])))
    return f"{node.op_type}.{name}"


def _constant(model: Any, random: Random, change: Callable[[Any], Any], *, floats: bool) -> str:
    from onnx import TensorProto, numpy_helper

    chosen = [tensor for tensor in model.graph.initializer if not floats or tensor.data_type == TensorProto.FLOAT]
    tensor = one_of(random, chosen)
    with np.errstate(all="ignore"):
        changed = np.asarray(change(numpy_helper.to_array(tensor).copy()))
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(changed, name))
    return f"{name} {changed.dtype} {list(changed.shape)}"


def scale(model: Any, random: Random) -> str:
    by = np.float32(one_of(random, SCALES))
    whole = random.random() < 0.7
    return f"* {by}: " + _constant(model, random, lambda a: a * by if whole else np.full_like(a, by), floats=True)


def value(model: Any, random: Random) -> str:
    def changed(array: Any) -> Any:
        if array.size:
            array.reshape(-1)[int(random.integers(array.size))] += array.dtype.type(one_of(random, [1, 2, 100]))
        return array

    return _constant(model, random, changed, floats=False)


def form(model: Any, random: Random) -> str:
    ways: list[Callable[[Any], Any]] = [
        lambda a: a[None],
        lambda a: a[..., None],
        lambda a: a.reshape(-1),
        lambda a: np.concatenate([a, a]) if a.ndim else a[None],
        lambda a: a[:1] if a.ndim else a[None],
        lambda a: a.astype(one_of(random, ["f4", "u1", "i1", "i4", "i8"])),
    ]
    return _constant(model, random, one_of(random, ways), floats=False)


def wire(model: Any, random: Random) -> str:
    """Another value, of the same kind of node or constant, in the place of an input."""
    graph = model.graph
    node = one_of(random, [node for node in graph.node if node.input])
    place = int(random.integers(len(node.input)))
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    makers = {name: other.op_type for other in graph.node for name in other.output} | types
    own = makers.get(node.input[place])
    anything = random.random() < 0.3
    node.input[place] = one_of(
        random, [name for name, maker in makers.items() if anything or maker == own or own is None]
    )
    return f"{node.op_type} input {place}"


def operator(model: Any, random: Random) -> str:
    node = one_of(random, [node for node in model.graph.node if node.op_type in OTHER_OPERATORS])
    node.op_type = one_of(random, OTHER_OPERATORS[node.op_type])
    return str(node.op_type)


def between(model: Any, random: Random) -> str:
    """A node in a wire, or in all of them that come from one place."""
    from onnx import helper

    nodes = model.graph.node
    place, node = one_of(random, list(enumerate(nodes)))
    name = one_of(random, node.output)
    added = helper.make_node(one_of(random, ["Relu", "Identity", "Neg", "Abs"]), [name], ["added"], name="added")
    readers = [other for other in nodes if name in other.input]
    for reader in readers if random.random() < 0.5 else readers[-1:]:
        reader.input[:] = ["added" if one == name else one for one in reader.input]
    nodes.insert(place + 1, added)
    return f"{added.op_type} behind {node.op_type}"


def twin(model: Any, random: Random) -> str:
    """Some nodes again, for one of those that read what the last of them gives; one of their constants may be another."""
    graph = model.graph
    start = int(random.integers(len(graph.node)))
    chain = [graph.node[start]]
    for node in graph.node[start + 1 :]:
        if len(chain) < 3 and chain[-1].output[0] in node.input:
            chain.append(node)
    reader = next((node for node in reversed(graph.node) if chain[-1].output[0] in node.input), None)
    names = {node.output[0]: f"{node.output[0]}_twin" for node in chain}
    place = list(graph.node).index(chain[-1]) + 1
    if reader is not None:
        reader.input[:] = [names.get(name, name) for name in reader.input]
    for node in reversed(chain):
        copy = type(node).FromString(node.SerializeToString())
        copy.name += "_twin"
        copy.input[:] = [names.get(name, name) for name in copy.input]
        copy.output[0] = names[copy.output[0]]
        graph.node.insert(place, copy)
    return " ".join(node.op_type for node in chain)


CHANGES = [attribute, attribute, scale, scale, value, form, wire, wire, operator, between, twin]


def changed(model: Any, random: Random) -> str:
    """Changed in place; says what."""
    change = one_of(random, CHANGES)
    return f"{change.__name__}: {change(model, random)}"
