"""Writes bundles: the networks' files, the projection, the bank and the manifest that describes them."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import Bundle, StoreError
from copytrace.engine.bundle import FORMAT
from copytrace.engine.store.atomic import reason

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


def parts_of(bundle: Bundle) -> BundleParts:
    """The parts of a bundle that is there, to write it again with some of them changed."""
    entries = {precision: bundle.network(precision) for precision in bundle.precisions}
    first = next(iter(entries.values()))
    return BundleParts(
        name=bundle.manifest.get("name", ""),
        networks={precision: entry.path for precision, entry in entries.items()},
        input_size=first.input_size,
        batch=first.batch,
        mean=bundle.projection.mean,
        components=bundle.projection.components,
        eigenvalues=bundle.projection.eigenvalues,
        bank=bundle.bank,
        normalisation=dict(bundle.manifest["normalisation"]),
        origin=dict(bundle.manifest.get("origin", {})),
        quality=dict(bundle.manifest.get("quality", {})),
    )


def write_bundle(parts: BundleParts, folder: Path) -> None:
    """Write a bundle to ``folder``, replacing one that is there; files of other names in it are kept.

    It is made beside and moved into place at the end. Raises: StoreError when it cannot be written, or when ``folder`` holds
    something else than a bundle.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / "manifest.json").exists())):
        raise StoreError(f"{folder}: is there and is no bundle; give another name")
    beside, old = (folder.with_name(f".{folder.name}.{suffix}") for suffix in ("tmp", "old"))
    try:
        for path in (beside, old):
            shutil.rmtree(path, ignore_errors=True)
        beside.mkdir(parents=True)
        _fill(parts, beside)
        if folder.exists():
            for path in folder.iterdir():
                if not (beside / path.name).exists() and path.suffix not in {".onnx", ".npz", ".npy"}:
                    shutil.copyfile(path, beside / path.name)
            folder.rename(old)
        beside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise StoreError(f"{folder}: cannot be written: {reason(error)}") from error


def _fill(parts: BundleParts, folder: Path) -> None:
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
