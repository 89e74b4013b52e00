"""float32 ONNX to half precision, written into the graph: float16 weights and casts, so that a strongly typed runtime
(TensorRT) computes what stands there, and ONNX Runtime on a CPU the same, a little slower than float32.

Three kinds of nodes stay float32:

* the scaling of pixels, and the tail: what makes a vector of a picture (pooling, head, unit length), where little is computed;
* sums, powers, roots and normalisations, whose intermediate values leave float16's range (largest 65504) or lose its 11 bits;
* nodes with a tensor that was measured, on photographs, to come near either end of that range, and where this is not enough
  for a cosine of 0.9999, those without which it is (see :mod:`.sensitive`).
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from copytrace.engine import CopytraceError

from .canonical import make_canonical
from .converted import Converted
from .graph import WEIGHTED, Wiring, key, load_float32
from .onnx import INPUT, run_onnx, spread_sample
from .parity import cosines
from .sensitive import keep_sensitive
from .simplify import drop_unused_constants

WANTED_COSINE = 0.99993
"""The smallest on the photographs measured; others have to reach 0.9999 too."""
_MEASURED_ON, _RANGES_ON = 32, 8
_SENSITIVE = {
    *("Pow", "Exp", "Log", "Sqrt", "Reciprocal", "Softmax", "LogSoftmax"),
    *("ReduceMean", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "GlobalAveragePool"),
    *("LayerNormalization", "GroupNormalization", "InstanceNormalization", "BatchNormalization", "LpNormalization"),
}
_TYPED = {"Cast", "Constant", "ConstantOfShape", "Range", "Resize", "RandomNormal", "EyeLike"}
"""Operations whose attributes or other inputs decide types."""
_BOUNDING = {"Clip", "Max", "Abs"}
"""What keeps powers and roots from what they cannot take; with an epsilon that float16 hardly has."""
_LARGEST, _SMALLEST = 65504.0 / 8, 1e-3
"""Of a tensor's largest value: eight times as much still fits; of one smaller, small values lose bits."""


def convert_fp16(source: Path, target: Path, photos: NDArray[np.uint8]) -> Converted:
    """Write the network in half precision. Equal networks and photographs give equal files, byte for byte.

    photos: uint8 [N, S, S, 3], of the kind the network will see; some are enough.
    Raises: CopytraceError for what is no float32 network, or no photographs.
    """
    if not len(photos):
        raise CopytraceError("fp16 is measured on photographs, and none are there")
    model = load_float32(source)
    wiring = Wiring(model.graph)
    by_kind = _early(model.graph, wiring) | _tail(wiring) | _by_operation(model.graph, wiring)
    out_of_range = _out_of_range(model, wiring, spread_sample(photos, _RANGES_ON)) - by_kind
    sample = spread_sample(photos, _MEASURED_ON)
    expected = run_onnx(source, sample)

    def quality(kept: frozenset[str]) -> float:
        _write(model, wiring, by_kind | out_of_range | kept, target)
        return float(cosines(expected, run_onnx(target, sample)).min())

    others = [key(node) for node in model.graph.node if key(node) not in by_kind | out_of_range]
    kept, cosine = keep_sensitive(others, quality, WANTED_COSINE)
    if kept:
        quality(kept)
    return Converted(len(out_of_range) + len(kept), cosine)


def _write(source: Any, wiring: Wiring, kept: set[str], target: Path) -> None:
    model = type(source).FromString(source.SerializeToString())
    _write_types(model.graph, wiring, kept)
    drop_unused_constants(model.graph)
    del model.graph.value_info[:]  # types of the graph as it was before
    make_canonical(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(target))


def _early(graph: Any, wiring: Wiring) -> set[str]:
    """Nodes before the first weights: pixels become floats and are scaled."""
    found: set[str] = set()
    for node in graph.node:  # in the order in which they are computed
        made_by = (wiring.producers[name] for name in node.input if name in wiring.producers)
        if node.op_type not in WEIGHTED and all(key(other) in found for other in made_by):
            found.add(key(node))
    return found


def _tail(wiring: Wiring) -> set[str]:
    """Nodes from the output back to those that made vectors of maps."""
    found: set[str] = set()
    waiting = list(wiring.outputs)
    while waiting:
        name = waiting.pop()
        node = wiring.producers.get(name)
        if node is None or key(node) in found or (wiring.is_float(name) and wiring.rank(name) > 2):
            continue
        found.add(key(node))
        waiting += node.input
    return found


def _by_operation(graph: Any, wiring: Wiring) -> set[str]:
    found = {key(node) for node in graph.node if node.op_type in _SENSITIVE | _TYPED}
    for node in reversed(graph.node):
        if node.op_type in _BOUNDING and any(user.op_type in _SENSITIVE for user in wiring.users[key(node)]):
            found.add(key(node))
    return found


def _out_of_range(model: Any, wiring: Wiring, photos: NDArray[np.uint8]) -> set[str]:
    """Nodes that read or make a tensor whose largest value on the photographs, or in the weights, is no number for float16."""
    largest = _largest_values(model, wiring, photos)
    for name, tensor in wiring.constants.items():
        if wiring.is_float(name) and tensor.dims:
            largest[name] = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
    odd = {name for name, value in largest.items() if value > _LARGEST or not np.isfinite(value)}
    odd |= {name for name, value in largest.items() if 0 < value < _SMALLEST and wiring.rank(name) > 1}
    return {key(node) for node in model.graph.node if odd & {*node.input, *node.output}}


def _largest_values(model: Any, wiring: Wiring, photos: NDArray[np.uint8]) -> dict[str, float]:
    """The largest absolute value of every float tensor that a node makes, over the photographs."""
    probed = type(model).FromString(model.SerializeToString())
    names = [name for name in wiring.producers if wiring.is_float(name)]
    graph = probed.graph
    for i, name in enumerate(names):
        graph.node.append(helper.make_node("Abs", [name], [f"probe_abs_{i}"]))
        graph.node.append(helper.make_node("ReduceMax", [f"probe_abs_{i}"], [f"probe_{i}"], keepdims=0))
        graph.output.append(helper.make_tensor_value_info(f"probe_{i}", TensorProto.FLOAT, []))
    session: Any = ort.InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])
    found = np.zeros(len(names))
    for photo in photos:
        values = session.run([f"probe_{i}" for i in range(len(names))], {INPUT: photo[None]})
        found = np.maximum(found, np.nan_to_num(np.array(values, np.float64), nan=np.inf))
    return dict(zip(names, found.tolist(), strict=True))


def _write_types(graph: Any, wiring: Wiring, kept: set[str]) -> None:
    """Give every node but those kept float16 inputs and outputs, and put casts between the two kinds."""
    half = {name for node in graph.node if key(node) not in kept for name in node.output if wiring.is_float(name)}
    made: dict[str, str] = {}
    nodes: list[Any] = []

    def read(name: str, as_half: bool) -> str:
        """The tensor's name in the wanted type."""
        if not name or not wiring.is_float(name) or as_half == (name in half):
            return name
        other = f"{name}_{'float16' if as_half else 'float32'}"
        if other not in made:
            made[other] = name
            if name in wiring.constants:
                values = numpy_helper.to_array(wiring.constants[name]).astype(np.float16)
                graph.initializer.append(numpy_helper.from_array(values, other))
            else:
                to = TensorProto.FLOAT16 if as_half else TensorProto.FLOAT
                nodes.append(helper.make_node("Cast", [name], [other], to=to))
        return other

    for node in graph.node:
        as_half = key(node) not in kept
        inputs = [read(name, as_half) for name in node.input]
        copy = type(node).FromString(node.SerializeToString())
        copy.input[:] = inputs
        nodes.append(copy)
    del graph.node[:]
    graph.node.extend(nodes)
