"""Every backbone of the published systems through the whole export, with random weights.

Their stages are cut to two blocks: every kind of block and width is there, and what a deeper one adds is more of the same, at
ten seconds of tracing each. Whole depths are measured by hand, see benchmarks/EXPORT.md. Random weights leave little of a
photograph in the embedding, which is then stretched to unit variance: rounding costs more than with trained ones, and the lines
for fp16 and int8 are lower than those of ``export verify``. Layers that have to stay float are looked for in test_export.py.
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")
from copytrace.engine.read import decode  # noqa: E402
from copytrace.export.fp16 import convert_fp16  # noqa: E402
from copytrace.export.int8 import quantize_int8  # noqa: E402
from copytrace.export.onnx import check_parity, export_onnx, run_onnx  # noqa: E402
from copytrace.export.parity import cosines  # noqa: E402
from copytrace.train.models.backbones import create_backbone  # noqa: E402
from copytrace.train.models.network import DescriptorNetwork, Head, Trunk  # noqa: E402

from conftest import PHOTOS  # noqa: E402

SIZE, DEPTH = 64, 2
BACKBONES = [
    "tf_efficientnet_lite0",
    "resnet50",
    "efficientnetv2_rw_s",
    "tf_efficientnetv2_l",
    "eca_nfnet_l1",
    "tf_efficientnet_b5",
    "swin_base_patch4_window14_224",
]
PIXELS = np.stack([decode(path.read_bytes(), SIZE) for path in sorted((PHOTOS / "references").glob("*.jpg"))[:16]])


def cut_network(name: str) -> DescriptorNetwork:
    """At most two blocks a stage; batch norms that know some photographs."""
    torch.manual_seed(0)
    backbone, scale = create_backbone(name, "none", SIZE)
    stages = next(
        getattr(backbone, kind) for kind in ("blocks", "stages", "layers", "layer1") if hasattr(backbone, kind)
    )
    if name == "resnet50":
        stages = [getattr(backbone, f"layer{i}") for i in range(1, 5)]
    for stage in stages:
        blocks = stage if isinstance(stage, torch.nn.Sequential) else stage.blocks
        del blocks[DEPTH:]
    trunk = Trunk(backbone, scale)
    network = DescriptorNetwork(trunk, Head(trunk.width(SIZE), 64))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean of what it sees
    with torch.no_grad():
        network.train()(torch.from_numpy(PIXELS))
        network.head.standardise(trunk.eval()(torch.from_numpy(PIXELS)))
    return network.eval()


@pytest.fixture(scope="module", params=BACKBONES)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DescriptorNetwork, Path]:
    network = cut_network(request.param)
    path = tmp_path_factory.mktemp(request.param) / "float32.onnx"
    export_onnx(network, SIZE, path)
    return network, path


def test_every_backbone_is_exported_in_every_precision(exported: tuple[DescriptorNetwork, Path]) -> None:
    network, path = exported
    with torch.inference_mode():
        expected = network(torch.from_numpy(PIXELS)).numpy()
    others = np.linalg.norm(expected - expected.mean(axis=0), axis=1)
    assert others.min() > 0.3  # what parity is measured on differs from photograph to photograph
    assert check_parity(network, path, PIXELS) >= 0.9999
    taken, given = (list(f()) for f in (_session(path).get_inputs, _session(path).get_outputs))
    assert taken[0].type == "tensor(uint8)" and not isinstance(taken[0].shape[0], int)
    assert given[0].type == "tensor(float)" and given[0].shape[1] == 64
    np.testing.assert_allclose(run_onnx(path, PIXELS[:5], batch=1), run_onnx(path, PIXELS[:5], batch=5), atol=1e-4)

    half = path.with_name("fp16.onnx")
    convert_fp16(path, half, PIXELS)
    assert cosines(expected, run_onnx(half, PIXELS)).min() >= 0.9995
    assert half.stat().st_size < 0.65 * path.stat().st_size  # nearly all weights are halved

    int8 = path.with_name("int8.onnx")
    made = quantize_int8(path, int8, PIXELS, wanted=-1.0)
    assert cosines(expected, run_onnx(int8, PIXELS)).mean() == pytest.approx(made.cosine, abs=0.001)
    assert made.cosine >= 0.5 and int8.stat().st_size < 0.4 * path.stat().st_size


def _session(path: Path) -> ort.InferenceSession:
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
