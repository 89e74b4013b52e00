"""Writes bundles: the networks' files, the projection, the bank and the manifest that describes them."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copytrace.engine.bundle import FORMAT

Float32 = NDArray[np.float32]


@dataclass
class BundleParts:
    """What goes into a bundle. networks: precision -> ONNX file; all take the same pixels and give [N, E]."""

    name: str
    networks: dict[str, Path]
    input_size: int
    batch: int
    mean: Float32
    components: Float32
    eigenvalues: Float32
    bank: Float32
    normalisation: dict[str, Any]
    origin: dict[str, Any]
    quality: dict[str, Any] = field(default_factory=dict)


def write_bundle(parts: BundleParts, folder: Path) -> None:
    """Write a bundle into ``folder``, replacing one that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    networks = {}
    for precision, source in parts.networks.items():
        name = f"{precision}.onnx"
        shutil.copyfile(source, folder / name)
        networks[precision] = {
            "file": name,
            "input_size": parts.input_size,
            "dimension": len(parts.mean),
            "batch": parts.batch,
            "layout": "NHWC",
            "colour": "RGB",
            "resize": "stretch",
        }
    np.savez(folder / "projection.npz", mean=parts.mean, components=parts.components, eigenvalues=parts.eigenvalues)
    np.save(folder / "bank.npy", parts.bank)
    files = [*(entry["file"] for entry in networks.values()), "projection.npz", "bank.npy"]
    manifest = {
        "format": FORMAT,
        "name": parts.name,
        "networks": networks,
        "projection": {
            "file": "projection.npz",
            "input_dimension": len(parts.mean),
            "dimension": len(parts.eigenvalues),
        },
        "bank": {"file": "bank.npy", "rows": len(parts.bank)},
        "normalisation": parts.normalisation,
        "sha256": {str(name): hashlib.sha256((folder / str(name)).read_bytes()).hexdigest() for name in files},
        "origin": parts.origin,
        "quality": parts.quality,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
