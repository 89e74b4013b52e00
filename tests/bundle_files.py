"""Small bundles to take apart: real networks of a few kilobytes, and changes to manifests and files."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import Bundle
from copytrace.export.bundle import BundleParts, NetworkParts, write_bundle

NORMALISATION = {"method": 1, "beta": {"1": 1.5, "2": 1.2}, "cosines": 3, "directions": 100}


def write_network(path: Path, size: int, dimension: int, seed: int = 0) -> Path:
    """A linear network: the means of the picture's cells of size/4 pixels, times a random matrix."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(seed).normal(size=(48, dimension)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["cells"], kernel_shape=[size // 4] * 2, strides=[size // 4] * 2),
        helper.make_node("Flatten", ["cells"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", size, size, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", dimension])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def write_constant_network(path: Path, size: int, values: NDArray[np.float32]) -> Path:
    """A network that gives the same values [E] for every picture."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["float", "axes"], ["brightest"], keepdims=0),
        helper.make_node("Reshape", ["brightest", "column"], ["one"]),
        helper.make_node("MatMul", ["one", "zeros"], ["nothing"]),
        helper.make_node("Add", ["nothing", "values"], ["embedding"]),
    ]
    constants = {
        "axes": np.array([1, 2, 3], np.int64),
        "column": np.array([-1, 1], np.int64),
        "zeros": np.zeros((1, len(values)), np.float32),
        "values": values[None],
    }
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", size, size, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", len(values)])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def small_parts(folder: Path, networks: dict[str, tuple[int, int]], dimension: int = 8, batch: int = 4) -> BundleParts:
    """Parts of a bundle; networks: name -> (size, dimension), each with two precisions."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    width = sum(length for _, length in networks.values())
    entries = []
    for seed, (name, (size, length)) in enumerate(networks.items()):
        files = {
            precision: write_network(folder / f"{name}-{precision}.onnx", size, length, 2 * seed + i)
            for i, precision in enumerate(("int8", "float32"))
        }
        entries.append(NetworkParts(name, size, batch, files))
    bank = rng.normal(size=(20, dimension)).astype(np.float32)
    return BundleParts(
        name="small",
        networks=entries,
        mean=rng.normal(size=width).astype(np.float32),
        components=rng.normal(size=(dimension, width)).astype(np.float32),
        eigenvalues=np.linspace(3, 1, dimension, dtype=np.float32),
        bank=bank / np.linalg.norm(bank, axis=1, keepdims=True),
        normalisation=NORMALISATION,
        origin={"made_by": "a test"},
    )


def small_bundle(folder: Path, networks: dict[str, tuple[int, int]] | None = None) -> Path:
    """A bundle in ``folder``."""
    write_bundle(small_parts(folder.parent / "parts", networks or {"a": (32, 12)}), folder)
    return folder


def change(bundle: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest as JSON."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    edit(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def edit(bundle: Path, values: dict[str, Any]) -> None:
    """Set keys of a manifest."""
    change(bundle, lambda manifest: manifest.update(values))


def rehash(bundle: Path, name: str) -> None:
    """Let the manifest take a file as it is."""
    digest = hashlib.sha256((bundle / name).read_bytes()).hexdigest()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if value.get("file") == name:
                value["sha256"] = digest
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    change(bundle, walk)


def format_1(bundle: Path) -> None:
    """Rewrite a bundle of one network the way copytrace 0.1 did."""
    manifest = Bundle(bundle).manifest
    (network,) = manifest.networks
    shared = network.model_dump(exclude={"name", "role", "precisions"})
    old = {
        "format": 1,
        "name": manifest.name,
        "networks": {name: {"file": entry.file} | shared for name, entry in network.precisions.items()},
        "projection": manifest.projection.model_dump(exclude={"sha256"}),
        "bank": manifest.bank.model_dump(exclude={"sha256"}),
        "normalisation": manifest.normalisation.model_dump(),
        "sha256": {entry.file: entry.sha256 for entry in manifest.files},
        "origin": manifest.origin,
        "quality": manifest.quality,
    }
    (bundle / "manifest.json").write_text(json.dumps(old))
