"""The Python API and what it stands on: bundle, network, pipeline."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from copytrace.engine import (
    DEFAULT_BUNDLE,
    BadImageError,
    Bundle,
    BundleError,
    CopytraceError,
    Engine,
    MissingExtraError,
)
from copytrace.engine.errors import optional_module
from copytrace.engine.infer import OrtNetwork
from copytrace.engine.parallel import map_ordered

from conftest import PHOTOS


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def test_paths_bytes_and_pixels_give_the_same_row(engine: Engine) -> None:
    path = PHOTOS / "references" / "R0000.jpg"
    pixels = np.asarray(Image.open(path).convert("RGB"))
    png = path.parent.parent / "queries" / "Q00000.jpg"
    rows = engine.embed([path, str(path), path.read_bytes(), png])
    assert rows.shape == (4, engine.dimension) == (4, 256) and rows.dtype == np.float32
    assert (rows[0] == rows[1]).all() and (rows[0] == rows[2]).all() and (rows[0] != rows[3]).any()
    assert (engine.embed([pixels]) @ rows[0])[0] > 0.99  # Pillow's JPEG decoder differs from OpenCV's by a little


def test_order_and_neighbours_change_nothing(engine: Engine) -> None:
    paths = sorted((PHOTOS / "queries").glob("*.jpg"))[:21]
    rows = engine.embed(paths, role="query")
    assert (engine.embed(paths[::-1], role="query")[::-1] == rows).all()
    assert (np.concatenate([engine.embed([path], role="query") for path in paths]) == rows).all()
    for threads, batch in ((1, 1), (3, 5)):
        assert (Engine(threads=threads, batch=batch).embed(paths, role="query") == rows).all()


def test_grey_pixels_and_pixels_that_are_none(engine: Engine) -> None:
    grey = np.arange(64 * 48, dtype=np.uint8).reshape(48, 64)
    assert (engine.embed([grey]) == engine.embed([np.repeat(grey[:, :, None], 3, axis=2)])).all()
    for wrong in (
        grey.astype(np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
    ):
        with pytest.raises(ValueError, match="must be uint8"):
            engine.embed([wrong])


def test_bad_images_are_all_named(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(BadImageError) as error:
        engine.embed([PHOTOS / "references" / "R0000.jpg", b"junk", tmp_path / "missing.jpg"])
    assert "image 1: not an image" in str(error.value)
    assert "missing.jpg: cannot be read: No such file" in str(error.value)


def test_no_images_no_rows(engine: Engine) -> None:
    assert engine.embed([]).shape == (0, 256)


def test_query_descriptors_lie_farther_out(engine: Engine) -> None:
    paths = sorted((PHOTOS / "queries").glob("*.jpg"))[:5]
    assert (np.linalg.norm(engine.embed(paths, role="query"), axis=1) > 1.2).all()
    assert np.allclose(np.linalg.norm(engine.embed(paths), axis=1), 1, atol=1e-5)
    assert engine.embed(paths, output="raw").shape == (5, len(engine.bundle.projection.mean))


def test_the_default_bundle_is_small_and_described() -> None:
    files = list(DEFAULT_BUNDLE.iterdir())
    assert sum(path.stat().st_size for path in files) <= 25e6
    bundle = Bundle()
    assert bundle.precisions == ["int8", "float32"] and bundle.normalisation().method in (1, 2)
    assert bundle.manifest.quality["float32_min_cosine_to_torch"] >= 0.9999
    assert {entry.file for entry in bundle.manifest.files} == {path.name for path in files} - {
        "manifest.json",
        "MODEL_CARD.md",
    }


def test_networks_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"junk")
    with pytest.raises(BundleError, match=r"a\.onnx"):
        OrtNetwork(tmp_path / "a.onnx", batch=1)
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, [1, 2])],
        [value("y", TensorProto.FLOAT, [1, 2])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "b.onnx")
    with pytest.raises(BundleError, match="uint8 pixels"):
        OrtNetwork(tmp_path / "b.onnx", batch=1)


def test_what_this_machine_does_not_have() -> None:
    with pytest.raises(CopytraceError, match="--device cpu"):
        Engine(device="cuda")
    with pytest.raises(BundleError, match="no fp4 network; there is int8, float32"):
        Engine(precision="fp4")  # type: ignore[arg-type]


def test_missing_libraries_name_the_extra() -> None:
    with pytest.raises(MissingExtraError, match=r'no_such_library is not installed; pip install "copytrace\[cpu\]" or'):
        optional_module("no_such_library", "cpu", "gpu")
    code = (
        "import sys; sys.modules['onnxruntime'] = None; sys.modules['faiss'] = None\n"
        "from copytrace.engine.cli import main; main()"
    )
    command = ["embed", str(PHOTOS / "queries"), "-o", "/tmp/x.h5", "--runtime", "onnxruntime"]
    result = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert result.returncode == 1 and "copytrace[cpu]" in result.stderr and len(result.stderr.splitlines()) == 1


def test_map_ordered_is_bounded_and_ordered() -> None:
    running = []

    def work(i: int) -> int:
        running.append(i)
        return i

    with ThreadPoolExecutor(4) as pool:
        stream = map_ordered(pool, work, range(1000), 8)
        assert next(stream) == 0
        assert len(running) <= 8
        assert list(stream) == list(range(1, 1000))
        failing = map_ordered(pool, lambda i: 1 // i, [1, 0, 1], 2)
        with pytest.raises(ZeroDivisionError):
            list(failing)
