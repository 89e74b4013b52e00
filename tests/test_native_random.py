"""The native runtime on random networks and on changed ones: ONNX Runtime's rows to the last bit, or refused. People train
their own networks, and a wrong row would not be seen."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine._network import instruction_sets
from copytrace.engine.errors import BundleError
from copytrace.engine.infer import NativeNetwork, OrtNetwork
from copytrace.engine.infer.native import NativeRuntimeError, why_slow

from onnx_changes import changed
from quantised_networks import RandomNetwork

pytestmark = pytest.mark.skipif(
    why_slow() is not None, reason="without VNNI ONNX Runtime's sums of products may saturate"
)


def test_random_networks_give_the_rows_of_onnx_runtime(tmp_path: Path) -> None:
    different = 0
    for seed in range(120):
        drawn = RandomNetwork(seed)
        path, given = drawn.save(tmp_path / "network.onnx"), drawn.pictures(1 + seed % 17)
        expected = OrtNetwork(path, batch=1)(given)
        different += len(np.unique(expected, axis=0)) > len(given) // 2
        for isa in instruction_sets():
            alike = NativeNetwork(path, batch=4, isa=isa)(given).tobytes() == expected.tobytes()
            assert alike, (seed, isa)
    assert different > 80  # networks whose rows say something of the pictures


class SumOfSingleNumbers(RandomNetwork):
    def pads(self, *_: Any) -> list[int]:
        return [0] * 4

    def _block(self, taken: Any) -> Any:
        one = self.convolution(taken, 1, (taken.height, taken.width), 1)
        return self.sum(one, one)


def with_a_sum() -> RandomNetwork:
    """A network with a sum in it, and with a convolution that two others read."""
    networks = (RandomNetwork(seed) for seed in range(1000))
    return next(network for network in networks if _maker(network.nodes, "Add") and _shared(network.nodes))


def _maker(nodes: Any, operator: str) -> Any:
    return next((node for node in nodes if node.op_type == operator), None)


def _readers(nodes: Any, name: str) -> list[Any]:
    return [node for node in nodes if name in node.input]


def _shared(nodes: Any) -> Any:
    """How a convolution's numbers are quantised and read again, and the second of those who read them."""
    for node in nodes:
        if node.op_type == "Conv" and (quantise := _readers(nodes, node.output[0])[0]).op_type == "QuantizeLinear":
            numbers = _readers(nodes, quantise.output[0])[0]
            readers = _readers(nodes, numbers.output[0])
            if numbers.op_type == "DequantizeLinear" and len(readers) == 2:
                return quantise, numbers, readers[1]
    return None


def read_twice(model: Any, operator: str) -> None:
    """ONNX Runtime then computes it in floats. How many pictures there are is asked of a map in the place of the pixels."""
    _maker(model.graph.node, "Shape").input[0] = _maker(model.graph.node, operator).output[0]


def quantised_twice(model: Any) -> None:
    """A second time, in steps of half the size, for one of two that read a convolution."""
    from onnx import helper, numpy_helper

    graph = model.graph
    quantise, numbers, reader = _shared(graph.node)
    scale = next(tensor for tensor in graph.initializer if tensor.name == quantise.input[1])
    graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(scale) / np.float32(2), "half"))
    zero, place = numbers.input[2], list(graph.node).index(reader)
    graph.node.insert(place, helper.make_node("QuantizeLinear", [quantise.input[0], "half", zero], ["bytes"]))
    graph.node.insert(place + 1, helper.make_node("DequantizeLinear", ["bytes", "half", zero], ["numbers"]))
    reader.input[:] = ["numbers" if name == numbers.output[0] else name for name in reader.input]


def small_steps(model: Any) -> None:
    """A sum of numbers a billion times too large for its bytes."""
    from onnx import numpy_helper

    (quantise,) = _readers(model.graph.node, _maker(model.graph.node, "Add").output[0])
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == quantise.input[1])
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(1e-9), scale.name))


def attribute(model: Any, operator: str, name: str, value: Any) -> None:
    from onnx import helper

    node = _maker(model.graph.node, operator)
    node.attribute.append(helper.make_attribute(name, value))


CHANGES: dict[str, tuple[Any, str]] = {
    "a convolution read twice": (lambda model: read_twice(model, "Conv"), "Conv whose numbers are read twice"),
    "a sum read twice": (lambda model: read_twice(model, "Add"), "Add whose numbers are read twice"),
    "a dense layer read twice": (lambda model: read_twice(model, "Gemm"), "Gemm whose numbers are read twice"),
    "quantised twice": (quantised_twice, "Conv whose numbers are read twice"),
    "a sum too large": (small_steps, "too large for its bytes"),
    "an unknown attribute": (lambda model: attribute(model, "DequantizeLinear", "block_size", 2), "with block_size"),
    "an attribute twice": (lambda model: attribute(model, "Shape", "start", 0), "two attributes"),
    "a constant twice": (lambda model: model.graph.initializer.append(model.graph.initializer[0]), "two constants"),
    "a node twice": (lambda model: model.graph.node.append(model.graph.node[-1]), "two values of one name"),
    "functions": (lambda model: model.functions.add(name="Conv"), "functions"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_onnx_runtime_computes_otherwise_is_refused(name: str, tmp_path: Path) -> None:
    network = with_a_sum()
    NativeNetwork(network.save(tmp_path / "network.onnx"), batch=1)
    change, why = CHANGES[name]
    model = network.model()
    change(model)
    (tmp_path / "changed.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(NativeRuntimeError, match=why):
        NativeNetwork(tmp_path / "changed.onnx", batch=1)


def test_a_sum_of_single_numbers_is_refused(tmp_path: Path) -> None:
    network = next(SumOfSingleNumbers(seed) for seed in range(100) if _maker(SumOfSingleNumbers(seed).nodes, "Add"))
    with pytest.raises(NativeRuntimeError, match="a sum of single numbers"):
        NativeNetwork(network.save(tmp_path / "network.onnx"), batch=1)


@pytest.mark.filterwarnings("error")
def test_changed_networks_are_refused_or_computed_alike(tmp_path: Path) -> None:
    """What ONNX Runtime itself does not compute is no row of anybody's."""
    path, outcomes = tmp_path / "network.onnx", Counter[str]()
    for seed in range(240):
        drawn, random = RandomNetwork(seed % 40), np.random.default_rng(seed)
        model = drawn.model(opset=18 if seed % 4 else 21)
        what = changed(model, random)
        path.write_bytes(model.SerializeToString())
        outcome = compared(path, drawn.pictures(2))
        assert outcome != "other", (seed, what)
        outcomes[outcome] += 1
    assert outcomes["refused"] > 60
    assert outcomes["equal"] > 40


def compared(path: Path, given: NDArray[np.uint8]) -> str:
    """What becomes of a network: "refused" by the native runtime, "unknown" to ONNX Runtime, or "equal" or "other" rows."""
    try:
        native = NativeNetwork(path, batch=4)
    except NativeRuntimeError:
        return "refused"
    try:
        expected = OrtNetwork(path, batch=1)(given)
    except BundleError:
        return "unknown"
    return "equal" if np.array_equal(native(given), expected, equal_nan=True) else "other"
