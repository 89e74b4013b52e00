"""Files of a bundle that are broken, of another kind, or not what its manifest says."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copytrace.engine import Bundle, BundleError, Engine
from copytrace.export.bundle import parts_of, write_bundle

import in_process
from bundle_files import npy, refused, rehash, small_bundle, write_network, write_projection


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_bundle(tmp_path / "bundle")


def bad_numbers(shape: tuple[int, ...], value: float) -> Any:
    array = np.ones(shape)
    array.flat[-1] = value
    return array


@pytest.mark.parametrize(
    "arrays",
    [
        {"mean": None},
        {"eigenvalues": None},
        {"mean": np.zeros(11)},
        {"mean": np.zeros((1, 12))},
        {"components": np.ones((12, 8))},
        {"components": np.diag([1.0] * 7 + [0.0]) @ np.ones((8, 12))},
        {"components": np.ones(96)},
        {"eigenvalues": np.zeros(8)},
        {"eigenvalues": -np.ones(8)},
        {"eigenvalues": bad_numbers((8,), np.nan)},
        {"mean": bad_numbers((12,), np.inf)},
        {"mean": bad_numbers((12,), 1e300)},
        {"components": bad_numbers((8, 12), np.nan)},
        {"mean": np.zeros(12, complex)},
        {"mean": np.zeros(12, int)},
        {"mean": np.array(["a"] * 12)},
        {"mean": np.array([{}] * 12)},
    ],
    ids=str,
)
def test_projections_that_are_none(small: Path, arrays: dict[str, Any]) -> None:
    write_projection(small / "projection.npz", **arrays)
    rehash(small, "projection.npz")
    refused(small, "not a projection")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mean", np.full(12, 3e38)),
        ("components", bad_numbers((8, 12), 3e38)),
        ("bank", bad_numbers((20, 8), 3e38)),
        ("bank", np.full((20, 8), 1e31)),
    ],
    ids=["mean", "components", "a row of the bank", "the bank"],
)
def test_values_that_cannot_be_computed_with(small: Path, name: str, values: Any) -> None:
    """Finite, but what follows from them is not."""
    if name == "bank":
        (small / "bank.npy").write_bytes(npy(values.astype(np.float32)))
    else:
        write_projection(small / "projection.npz", **{"eigenvalues": np.full(8, 1e-4), name: values})
    rehash(small, "bank.npy" if name == "bank" else "projection.npz")
    refused(small, "cannot be used")
    line = in_process.run("bundle", "info", small, code=1).stderr
    assert line.count("\n") == 1 and "cannot be used" in line
    with pytest.raises(BundleError, match="cannot be used"):
        write_bundle(parts_of(Bundle(small)), small)


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros(8),
        np.zeros((0, 8)),
        np.zeros((20, 9)),
        np.zeros((19, 8)),
        np.zeros((20, 8, 1)),
        bad_numbers((20, 8), np.nan),
        bad_numbers((20, 8), -np.inf),
        np.zeros((20, 8), np.uint8),
        np.array([{"a": 1}], dtype=object),
        np.float32(3),
    ],
    ids=lambda rows: f"{rows.dtype}{rows.shape}",
)
def test_banks_that_are_none(small: Path, rows: Any) -> None:
    (small / "bank.npy").write_bytes(npy(rows))
    rehash(small, "bank.npy")
    refused(small, "not a bank")


def test_files_of_another_kind(small: Path) -> None:
    original = {name: (small / name).read_bytes() for name in ("projection.npz", "bank.npy", "int8.onnx")}
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("mean.npy", b"junk")
    for junk in (b"", b"junk", b"\x93NUMPY\x01\x00", b"PK\x03\x04junk", npy(np.ones(3)), zipped.getvalue()):
        for name, data in original.items():
            (small / name).write_bytes(junk)
            rehash(small, name)
            refused(small, name)
            (small / name).write_bytes(data)
            rehash(small, name)
    huge = npy(np.zeros((20, 8), np.float32)).replace(b"(20, 8)", b"(20, 9**9)"[:7])
    (small / "bank.npy").write_bytes(huge)
    rehash(small, "bank.npy")
    refused(small, "not a bank")


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("name", ["projection.npz", "bank.npy", "int8.onnx"])
def test_files_that_are_cut(small: Path, name: str, cut: float) -> None:
    data = (small / name).read_bytes()
    (small / name).write_bytes(data[: int(cut * len(data))])
    rehash(small, name)
    refused(small, name)


@pytest.mark.parametrize("name", ["int8.onnx", "float32.onnx", "projection.npz", "bank.npy"])
def test_files_that_changed_or_are_missing(small: Path, name: str) -> None:
    data = bytearray((small / name).read_bytes())
    data[len(data) // 2] ^= 1
    (small / name).write_bytes(data)
    refused(small, f"{name}: changed")
    (small / name).unlink()
    refused(small, f"{name}: No such file")
    (small / name).mkdir()
    refused(small, f"{name}: not a file")
    (small / name).rmdir()
    os.mkfifo(small / name)
    refused(small, f"{name}: not a file")


@pytest.mark.parametrize(("size", "dimension", "word"), [(48, 12, "input_size is 48"), (32, 13, "dimension is 13")])
def test_networks_are_what_the_manifest_says(small: Path, size: int, dimension: int, word: str) -> None:
    write_network(small / "int8.onnx", size, dimension)
    rehash(small, "int8.onnx")
    refused(small, word, "the manifest says")
    Engine(small, precision="float32")


def test_networks_of_another_shape(small: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    for pixels, embedding in (
        (["n", 32, 32, 3], ["n", "d"]),
        ([1, 32, 32, 3], [1, 12]),
        (["n", "s", "s", 3], ["n", 12]),
        (["n", 3, 32, 32], ["n", 12]),
        ([], ["n", 12]),
    ):
        graph = helper.make_graph(
            [helper.make_node("ConstantOfShape", ["shape"], ["y"]), helper.make_node("Shape", ["x"], ["shape"])][::-1],
            "g",
            [value("x", TensorProto.UINT8, pixels)],
            [value("y", TensorProto.FLOAT, embedding)],
        )
        graph.output[0].type.tensor_type.ClearField("shape") if embedding == ["n", "d"] else None
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.save(model, small / "int8.onnx")
        rehash(small, "int8.onnx")
        refused(small, "int8.onnx")
