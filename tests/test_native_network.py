"""int8 networks by the native core: ONNX Runtime's rows to the last bit, and what it does not know is refused."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine import Bundle
from copytrace.engine._network import Network, Steps, instruction_sets
from copytrace.engine.errors import BundleError, DeviceError
from copytrace.engine.infer import NativeNetwork, OrtNetwork, open_network
from copytrace.engine.infer.native import NativeRuntimeError, why_slow
from copytrace.engine.infer.native.onnx_file import read_graph
from copytrace.engine.manifest import NetworkFile
from copytrace.engine.read import decode

from bundle_files import small_bundle
from conftest import PHOTOS, ROOT

FILES = Bundle().networks("int8")
DEFAULT = ROOT / "engine" / "bundles" / "default"
names = pytest.mark.parametrize("file", FILES, ids=lambda file: file.path.name)


def pictures(file: NetworkFile) -> NDArray[np.uint8]:
    """Photographs, noise, stripes, and pictures of one colour."""
    side = file.input_size
    photographs = [decode(path.read_bytes(), side) for path in sorted((PHOTOS / "references").glob("*.jpg"))[:16]]
    noise = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    flat = [np.full((side, side, 3), value, np.uint8) for value in (0, 127, 255)]
    stripes = np.zeros((side, side, 3), np.uint8)
    stripes[::2], stripes[:, ::3, 1] = 255, 255
    return np.stack([*photographs, *noise, *flat, stripes])


@names
@pytest.mark.skipif(why_slow() is not None, reason="without VNNI ONNX Runtime's sums of products may saturate")
def test_rows_are_those_of_onnx_runtime_to_the_last_bit(file: NetworkFile) -> None:
    given = pictures(file)
    native, onnx = NativeNetwork(file.path, batch=4), OrtNetwork(file.path, batch=1)
    assert native(given).tobytes() == onnx(given).tobytes()


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.skipif(why_slow() is not None, reason="without fused products ONNX Runtime's sums may be others")
def test_sums_are_those_of_onnx_runtime_for_any_two_bytes(isa: str) -> None:
    """A difference in the last bit of a constant shows where a sum lies half way: once in some hundred photographs."""
    bytes_a, bytes_b = np.mgrid[:256, :256].astype(np.uint8)
    pixels = np.stack([bytes_a, bytes_b, bytes_a], axis=2)
    session, rng = quantised_sum(), np.random.default_rng(0)
    for _ in range(100):
        scales = [np.float32(scale) for scale in rng.uniform(0.01, 1, 3)]
        zeros = [int(zero) for zero in rng.integers(0, 256, 3)]
        network = Network(256, 256, 3, isa)
        a, b = (network.convolution(0, one_channel(c), np.zeros(1, np.int32), np.ones(1, np.float32), 0, 0, 1, [0] * 4)
                for c in (0, 1))  # fmt: skip
        of_a, of_b, given = (Steps(float(scale), zero) for scale, zero in zip(scales, zeros, strict=True))
        ours = network.values(pixels, network.sum(a, of_a, b, of_b, given))[..., 0]
        feed = {"a": bytes_a.ravel(), "b": bytes_b.ravel()}
        feed |= {f"{name}_scale": np.array(scale) for name, scale in zip("abc", scales, strict=True)}
        feed |= {f"{name}_zero": np.array(zero, np.uint8) for name, zero in zip("abc", zeros, strict=True)}
        np.testing.assert_array_equal(ours.ravel(), session.run(None, feed)[0])


def one_channel(which: int) -> NDArray[np.int8]:
    """A convolution's weights [1, 1, 1, 3] that take one channel as it is."""
    return (np.arange(3) == which).astype(np.int8).reshape(1, 1, 1, 3)


def quantised_sum() -> Any:
    """ONNX Runtime's own sum of two tensors of bytes."""
    import onnxruntime
    from onnx import TensorProto, helper

    steps = [(f"{name}_{kind}", of) for name in "abc" for kind, of in (("scale", 1), ("zero", 2))]
    names = ["a", "a_scale", "a_zero", "b", "b_scale", "b_zero", "c_scale", "c_zero"]
    node = helper.make_node("QLinearAdd", names, ["c"], domain="com.microsoft")
    tensors = [helper.make_tensor_value_info(name, TensorProto.UINT8, ["N"]) for name in "abc"]
    scalars = [helper.make_tensor_value_info(name, of, []) for name, of in steps]
    graph = helper.make_graph([node], "sum", [*tensors[:2], *scalars], tensors[2:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString())


@names
def test_every_instruction_set_gives_the_same_rows(file: NetworkFile) -> None:
    given = pictures(file)[-7:]
    rows = {isa: NativeNetwork(file.path, batch=4, isa=isa)(given).tobytes() for isa in instruction_sets()}
    assert len(set(rows.values())) == 1
    if why_slow() is not None:  # near them at least
        expected = OrtNetwork(file.path, batch=1)(given)
        assert (NativeNetwork(file.path, batch=4)(given) * expected).sum(axis=1).min() > 0.97


def test_threads_and_neighbours_change_no_row() -> None:
    file = FILES[-1]
    network, given = NativeNetwork(file.path, batch=4), pictures(file)
    expected = np.concatenate([network(picture[None]) for picture in given])
    with ThreadPoolExecutor(4) as threads:
        for rows in threads.map(network, [given, given[::-1]] * 6):
            assert rows.tobytes() in (expected.tobytes(), expected[::-1].tobytes())
    assert network(given[:0]).shape == (0, network.dimension)


def test_it_is_what_computes_int8_where_it_is_faster() -> None:
    network = open_network(FILES[0], "cpu")
    assert isinstance(network, NativeNetwork if why_slow() is None else OrtNetwork)
    assert isinstance(open_network(FILES[0], "cpu", runtime="onnxruntime"), OrtNetwork)
    assert open_network(FILES[0], "cpu", runtime="native").runtime == "native int8 on the CPU"
    assert isinstance(open_network(Bundle().networks("float32")[0], "cpu"), OrtNetwork)


def test_networks_of_another_family_are_left_to_onnx_runtime_and_that_is_said(tmp_path: Path) -> None:
    small_bundle(tmp_path / "small")
    file = replace(Bundle(tmp_path / "small").networks("float32")[0], precision="int8")
    with pytest.raises(DeviceError, match=r"does not know such a network: .*; use --runtime onnxruntime"):
        open_network(file, "cpu", runtime="native")
    network = open_network(file, "cpu")
    assert isinstance(network, OrtNetwork)
    assert why_slow() is not None or "(the native runtime does not know such a network: " in network.runtime
    with pytest.raises(NativeRuntimeError, match="Reshape where Div is expected"):
        NativeNetwork(DEFAULT / "detector.int8.onnx", batch=1)
    with pytest.raises(NativeRuntimeError, match="where DequantizeLinear is expected"):
        NativeNetwork(DEFAULT / "frozen.float32.onnx", batch=1)


def test_a_card_is_not_for_it() -> None:
    with pytest.raises(DeviceError, match="native runtime does not compute on a graphics card"):
        open_network(FILES[0], "cuda", runtime="native")


@pytest.mark.parametrize("change", [{"input_size": 64}, {"dimension": 99}])
def test_a_manifest_that_says_otherwise_is_an_error(change: dict[str, int]) -> None:
    file = FILES[0]
    with pytest.raises(BundleError, match="the manifest says"):
        open_network(replace(file, entry=file.entry.model_copy(update=change)), "cpu", runtime="native")


def test_other_pixels_are_an_error() -> None:
    network = NativeNetwork(FILES[0].path, batch=1)
    for pixels in (np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 224, 224, 3), np.float32)):
        with pytest.raises(BundleError, match="pixels must"):
            network(pixels)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", sorted(DEFAULT.glob("*.onnx")), ids=lambda path: path.name)
def test_files_are_read_as_by_the_onnx_package(path: Path) -> None:
    import onnx

    model, graph = onnx.load(path).graph, read_graph(path)
    assert [node.operator for node in graph.nodes] == [node.op_type for node in model.node]
    for ours, theirs in zip(graph.nodes, model.node, strict=True):
        assert (ours.inputs, ours.outputs) == (list(theirs.input), list(theirs.output))
        expected = {entry.name: onnx.helper.get_attribute_value(entry) for entry in theirs.attribute}
        assert ours.attributes == {k: v.decode() if isinstance(v, bytes) else v for k, v in expected.items()}
    assert graph.constants.keys() == {entry.name for entry in model.initializer}
    for entry in model.initializer:
        array = onnx.numpy_helper.to_array(entry)
        assert graph.constants[entry.name].dtype == array.dtype
        np.testing.assert_array_equal(graph.constants[entry.name], array)
    assert [value.shape[1:] for value in (*graph.inputs, *graph.outputs)] == [
        [dimension.dim_value for dimension in value.type.tensor_type.shape.dim][1:] for value in (*model.input, *model.output)
    ]  # fmt: skip


def test_malformed_files_are_refused_and_never_crash(tmp_path: Path) -> None:
    """Cut off anywhere, and with bytes changed among those that say how the graph is made. What still is a network runs."""
    data, path = FILES[-1].path.read_bytes(), tmp_path / "network.onnx"
    rng, picture = np.random.default_rng(0), np.zeros((1, FILES[-1].input_size, FILES[-1].input_size, 3), np.uint8)
    refused = 0
    nodes = data.find(b"stem_blocks") - 8, data.find(b"stem_blocks") + 40_000
    for turn in range(120):
        changed = bytearray(data)
        if turn % 3 == 0:
            del changed[int(rng.integers(0, len(data))) :]
        else:
            for place in rng.integers(*nodes, 1 + turn % 4):
                changed[place] = rng.integers(0, 256)
        path.write_bytes(changed)
        try:
            network = NativeNetwork(path, batch=1)
            if network.input_size == picture.shape[1]:
                network(picture)
        except NativeRuntimeError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 40
    with pytest.raises(BundleError, match="cannot be read"):
        NativeNetwork(tmp_path / "none.onnx", batch=1)
