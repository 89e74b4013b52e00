"""From a network to a bundle: model, PCA, ONNX, int8 and the bundle writer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from copytrace.engine import Bundle, CopytraceError, Engine, StoreError
from copytrace.engine.read import decode
from copytrace.export.bundle import parts_of, write_bundle
from copytrace.export.int8 import quantize_int8
from copytrace.export.onnx import ParityError, check_parity, export_onnx, run_onnx
from copytrace.export.parity import cosines
from copytrace.export.stem import widen
from copytrace.train.bundles.finish import spread
from copytrace.train.models.backbones import create_backbone, imagenet_lite0
from copytrace.train.models.network import DescriptorNetwork, GeM
from copytrace.train.models.projection import fit_pca
from copytrace.train.tools.default_model import default_network
from copytrace.train.tools.demo_photos import REFERENCES

from conftest import PHOTOS

SIZE = 64


@pytest.fixture(scope="module")
def network() -> DescriptorNetwork:
    return imagenet_lite0()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    paths = sorted((PHOTOS / "references").glob("*.jpg"))[:40]
    return np.stack([decode(path.read_bytes(), SIZE) for path in paths])


def test_gem_is_its_formula() -> None:
    x = torch.rand(2, 3, 5, 7) * 4
    for p in (1.0, 2.0, 2.5, 3.0):
        expected = (x.double() ** p).mean(dim=(2, 3)) ** (1 / p)
        torch.testing.assert_close(GeM(p)(x).double(), expected, rtol=1e-5, atol=1e-6)
    assert GeM(3.0)(x.half()).dtype == torch.float32
    assert torch.isfinite(GeM(4.0)(torch.full((1, 1, 2, 2), 60000.0).half())).all()
    pool = GeM(3.0, trainable=True)
    pool(x).sum().backward()
    assert pool.p.grad is not None and torch.isfinite(pool.p.grad)


def test_imagenet_weights_are_in_the_right_places(network: DescriptorNetwork) -> None:
    """A wrong order of tensors would still load; the statistics of batch normalisation would not fit the activations."""
    rng = np.random.default_rng(0)
    paths = sorted((PHOTOS / "references").glob("*.jpg"))
    photos = np.stack([decode(paths[i].read_bytes(), 224) for i in rng.choice(REFERENCES, 16, replace=False)])
    outputs = []
    first = network.trunk.backbone.bn1
    handle = network.trunk.backbone.conv_stem.register_forward_hook(lambda *args: outputs.append(args[2]))
    with torch.inference_mode():
        network(torch.from_numpy(photos))
    handle.remove()
    measured = outputs[0].mean(dim=(0, 2, 3))
    assert np.corrcoef(measured.numpy(), first.running_mean.numpy())[0, 1] > 0.5


def test_pca_is_the_svd() -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((500, 20)) @ rng.standard_normal((20, 20)) + 3).astype(np.float32)
    mean, components, eigenvalues = fit_pca(x, 8)
    _, singular, rows = np.linalg.svd(x.astype(np.float64) - x.mean(0, dtype=np.float64), full_matrices=False)
    np.testing.assert_allclose(eigenvalues, singular[:8] ** 2 / 499, rtol=1e-5)
    np.testing.assert_allclose(np.abs((components * rows[:8]).sum(1)), 1, atol=1e-5)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-5)
    assert (components[np.arange(8), np.abs(components).argmax(1)] > 0).all()
    with pytest.raises(ValueError, match="more images"):
        fit_pca(x[:8], 8)
    with pytest.raises(ValueError, match="fewer than 8"):
        fit_pca(np.repeat(x[:, :1], 20, axis=1), 8)


def test_onnx_computes_what_torch_does(network: DescriptorNetwork, pixels: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    export_onnx(network, SIZE, path)
    assert check_parity(network, path, pixels) >= 0.9999
    assert run_onnx(path, pixels[:3]).shape == (3, 1280)
    with pytest.raises(ParityError, match=r"network\.onnx"):
        check_parity(imagenet_lite0(p=1.0), path, pixels)

    quantize_int8(path, tmp_path / "int8.onnx", pixels)
    assert (tmp_path / "int8.onnx").stat().st_size < path.stat().st_size / 3
    assert cosines(run_onnx(path, pixels), run_onnx(tmp_path / "int8.onnx", pixels)).mean() > 0.97


def test_the_wide_stem_is_the_same_convolution() -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (8, 3, 3, 3)).astype(np.float32)
    image = rng.integers(-127, 129, (2, 16, 24, 3)).astype(np.float32)  # NHWC
    nchw = torch.from_numpy(image).permute(0, 3, 1, 2)
    expected = torch.nn.functional.conv2d(
        torch.nn.functional.pad(nchw, (0, 1, 0, 1)), torch.from_numpy(weights), stride=2
    )
    blocks = torch.from_numpy(image.reshape(2, 16, 6, 12)).permute(0, 3, 1, 2)
    wide = torch.nn.functional.conv2d(
        torch.nn.functional.pad(blocks, (0, 1, 0, 1)), torch.from_numpy(widen(weights)), stride=(2, 1)
    )
    outputs = wide.permute(0, 2, 3, 1).reshape(2, 8, 12, 8).permute(0, 3, 1, 2)
    assert torch.equal(outputs, expected)


def test_the_default_bundle_is_the_model_it_says() -> None:
    bundle = Bundle()
    size = bundle.networks("float32")[0].input_size
    paths = sorted((PHOTOS / "queries").glob("*.jpg"))[:8]
    photos = np.stack([decode(path.read_bytes(), size) for path in paths])
    assert check_parity(default_network(), bundle.networks("float32")[0].path, photos) >= 0.9999


def test_clips_behind_a_relu_are_left_out(tmp_path: Path) -> None:
    class Pooled(torch.nn.Module):
        def __init__(self, before: torch.nn.Module) -> None:
            super().__init__()
            self.convolution, self.before, self.pool = torch.nn.Conv2d(3, 4, 3), before, GeM()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pool(self.before(self.convolution(x.permute(0, 3, 1, 2).float() - 127)))

    def clips(before: torch.nn.Module) -> int:
        torch.manual_seed(0)
        network, path = Pooled(before).eval(), tmp_path / "pooled.onnx"
        export_onnx(network, 16, path)
        pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
        assert check_parity(network, path, pixels) >= 0.9999
        return sum(node.op_type in ("Clip", "Relu") for node in onnx.load(path).graph.node)

    assert clips(torch.nn.ReLU()) == clips(torch.nn.ReLU6()) == 1  # its own
    assert clips(torch.nn.Sequential(torch.nn.ReLU6(), torch.nn.MaxPool2d(2))) == 1
    assert clips(torch.nn.Identity()) == 1  # negative values come through, and GeM's is needed


def test_backbones_and_their_weights(tmp_path: Path) -> None:
    backbone, scale = create_backbone("resnet18", "none")
    assert scale.offset == pytest.approx((123.675, 116.28, 103.53))
    torch.save(backbone.state_dict(), tmp_path / "weights.pt")
    again, _ = create_backbone("resnet18", str(tmp_path / "weights.pt"))
    assert all(torch.equal(a, b) for a, b in zip(backbone.parameters(), again.parameters(), strict=True))
    with pytest.raises(CopytraceError, match="not weights of this backbone"):
        create_backbone("resnet34", str(tmp_path / "weights.pt"))
    (tmp_path / "text.pt").write_text("hello")
    for name, weights in (
        ("resnet18", str(tmp_path / "text.pt")),
        ("resnet18", str(tmp_path / "none.pt")),
        ("resnet", "none"),
    ):
        with pytest.raises(CopytraceError):
            create_backbone(name, weights)


def test_writing_and_reading_a_bundle(tmp_path: Path) -> None:
    source = Bundle()
    parts = replace(parts_of(source), name="copy", bank=source.bank[:10], origin={})
    write_bundle(parts, tmp_path / "b")
    bundle = Bundle(tmp_path / "b")
    assert bundle.networks("int8")[0].batch == 4 and (bundle.bank == source.bank[:10]).all()
    paths = [PHOTOS / "queries" / "Q00000.jpg"]
    assert (Engine(tmp_path / "b").embed(paths) == Engine().embed(paths)).all()

    (tmp_path / "b" / "CARD.md").write_text("kept")
    write_bundle(replace(parts_of(bundle), bank=source.bank[:7]), tmp_path / "b")
    assert len(Bundle(tmp_path / "b").bank) == 7 and (tmp_path / "b" / "CARD.md").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(StoreError, match="no bundle"):
        write_bundle(parts, tmp_path / "other")
    assert (tmp_path / "other" / "letter.txt").exists()


def test_spread() -> None:
    assert spread(10, 3) == [0, 4, 9] and spread(2, 5) == [0, 1]
