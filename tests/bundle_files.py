"""Small bundles to take apart: real networks of a few kilobytes, and changes to manifests and files."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from copytrace.engine import Bundle, BundleError, Engine
from copytrace.export.bundle import BundleParts, NetworkParts, write_bundle

REMOVED = object()
"""What ``put`` takes for a place that is to be no more."""
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


def refused(bundle: Path, *words: str) -> None:
    """The bundle ends in one BundleError, on one line that names its folder."""
    with pytest.raises(BundleError) as error:
        Engine(bundle)
    text = str(error.value)
    assert "\n" not in text and str(bundle) in text
    assert not words or all(word in text for word in words), text


def put(manifest: Any, path: tuple[Any, ...], value: Any) -> None:
    """A value at a path into a manifest, or REMOVED."""
    *way, last = path
    for step in way:
        manifest = manifest[step]
    if value is REMOVED:
        del manifest[last]
    else:
        manifest[last] = value


def write_projection(path: Path, **arrays: Any) -> None:
    rng = np.random.default_rng(0)
    good = {"mean": np.zeros(12), "components": rng.normal(size=(8, 12)), "eigenvalues": np.ones(8)}
    with path.open("wb") as file:
        np.savez(file, **{name: value for name, value in (good | arrays).items() if value is not None})


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()
