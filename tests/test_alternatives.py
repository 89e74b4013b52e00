"""The comparison with other programs: what should compute the same does, and its tables say what was measured."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.alternatives.__main__ import Measured, _figures, table
from benchmarks.alternatives.apart import Apart
from benchmarks.alternatives.models import MODELS
from benchmarks.alternatives.photographs import megapixels
from benchmarks.layers import profile
from benchmarks.layers import table as layer_table
from copytrace.engine import Bundle, Engine
from copytrace.engine.read import decode_sizes, image_size

from conftest import PHOTOS


@pytest.mark.parametrize("name", ["torch eager", "ONNX Runtime float32", "copytrace float32"])
def test_networks_compute_the_same_in_every_runtime(name: str) -> None:
    networks = Bundle().networks("float32")
    sizes = [file.input_size for file in networks]
    data = [(PHOTOS / "references" / f"R000{i}.jpg").read_bytes() for i in range(3)]
    pictures = [decode_sizes(one, sizes)[0] for one in data]
    batch = [np.stack(one) for one in zip(*pictures, strict=True)]
    right = MODELS["ONNX Runtime float32"](1)(batch)
    found = MODELS[name](1)(batch)
    np.testing.assert_allclose(found, right, atol=2e-4)
    assert found.shape == (3, sum(file.dimension for file in networks))


def test_a_contender_has_a_process_of_its_own(tmp_path: Path) -> None:
    paths = sorted((PHOTOS / "references").glob("*.jpg"))
    with Apart("programs", "copytrace int8", 1) as ours:
        for _ in range(2):
            rows, wall, processor = ours.run(paths, tmp_path)
            assert rows.shape == (len(paths), 256) and wall > 0 and processor > 0
        assert (rows == Engine().embed(paths)).all()
        with pytest.raises(SystemExit, match="copytrace int8: its process ended"):
            ours.run([tmp_path / "missing.jpg"], tmp_path / "nowhere")


def test_photographs_of_a_megapixel(tmp_path: Path) -> None:
    paths = megapixels(PHOTOS / "references", tmp_path, 2)
    first, second = (path.read_bytes() for path in paths)
    assert image_size(first) == image_size(second) == (1152, 864) and first != second
    assert megapixels(PHOTOS / "references", tmp_path, 1)[0].read_bytes() == first


def test_figures_and_their_table() -> None:
    ours, theirs = Measured([1.0, 2.0, 1.0], [2.0, 2.0, 2.0]), Measured([4.0, 4.0, 5.0], [6.0, 10.0, 6.0])
    row = _figures(theirs, 10, ours)
    assert row["images_per_second"] == 2.5 and row["processor_ms"] == 600
    assert [row[f"ours_faster_wall{end}"] for end in ("", "_least", "_most")] == [4, 2, 5]
    assert row["ours_faster_processor"] == 3
    assert "| plain torch | 2.5 | 600.00 | 4.00 (2.00 to 5.00) | 3.00 (3.00 to 5.00) | >= 12 |" in table(
        "programs", {"plain torch": row}, {"plain torch": 12}
    )


def test_layers_are_told_apart() -> None:
    file = Bundle().networks("int8")[1]
    layers = profile(file, 1, 2)
    kinds = {kind: [layer for layer in layers if layer.kind == kind] for kind in {layer.kind for layer in layers}}
    assert set(kinds) == {"first", "pointwise", "depthwise", "pooling", "dense", "other"}
    assert sum(len(kinds[kind]) for kind in ("first", "pointwise", "depthwise")) == 35  # the network's convolutions
    products = {kind: sum(layer.products for layer in group) for kind, group in kinds.items()}
    assert products["pointwise"] > 5 * products["depthwise"] > 0 == products["pooling"] == products["other"]
    assert layer_table("net", layers, 100.0).splitlines()[-1].startswith(f"| all | {len(layers)} | ")
