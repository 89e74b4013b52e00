"""Writes bundles: the networks' files, the projection, the bank and the manifest that describes them."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import Bundle, BundleError, StoreError
from copytrace.engine.infer import OrtNetwork
from copytrace.engine.manifest import (
    FORMAT,
    MANIFEST,
    Manifest,
    MatchingFile,
    NetworkRole,
    Precision,
    check_manifest,
    read_manifest,
)
from copytrace.engine.store.atomic import replacing
from copytrace.engine.store.folders import replacing_folder

from .check import check_arrays, check_matching

Float32 = NDArray[np.float32]
Json = dict[str, Any]
PROJECTION, BANK = "projection.npz", "bank.npy"
MATCHING: dict[MatchingFile, str] = {"constants": "matching.json", "quantisers": "quantisers.npz"}


@dataclass
class NetworkParts:
    """A network: uint8 pixels [N, size, size, 3] -> [N, E]. files: precision -> ONNX file."""

    name: str
    size: int
    batch: int
    files: Mapping[Precision, Path]
    role: NetworkRole = "descriptor"


@dataclass
class BundleParts:
    """What goes into a bundle.

    networks: several make an ensemble, the raw embedding [N, E] is their outputs side by side. mean [E], components [D, E],
    eigenvalues [D], bank [M, D]. The others are parts of the manifest; see :mod:`copytrace.engine.manifest.model`.
    """

    name: str
    networks: list[NetworkParts]
    mean: Float32
    components: Float32
    eigenvalues: Float32
    bank: Float32
    normalisation: Json
    origin: Json
    quality: Json = field(default_factory=dict)
    thresholds: Json = field(default_factory=dict)
    score_normalisation: Json | None = None
    matching: Mapping[MatchingFile, Path] = field(default_factory=dict)
    """What is fitted for matching, by what it is."""


def parts_of(bundle: Bundle) -> BundleParts:
    """The parts of a bundle that is there, to write it again with some of them changed."""
    manifest = bundle.manifest
    networks = [
        NetworkParts(
            entry.name,
            entry.input_size,
            entry.batch,
            {precision: bundle.path / file.file for precision, file in entry.precisions.items()},
            entry.role,
        )
        for entry in manifest.networks
    ]
    same = ("name", "normalisation", "origin", "quality", "thresholds", "score_normalisation")
    return BundleParts(
        networks=networks,
        matching={name: bundle.path / entry.file for name, entry in manifest.matching.items()},
        mean=bundle.projection.mean,
        components=bundle.projection.components,
        eigenvalues=bundle.projection.eigenvalues,
        bank=bundle.bank,
        **manifest.model_dump(include=set(same)),
    )


def write_bundle(parts: BundleParts, folder: Path) -> None:
    """Write a bundle to ``folder``, replacing one that is there; files of other names in it are kept.

    It is made beside, read back and moved into place at the end. Raises: StoreError when it cannot be written, or when
    ``folder`` holds something else than a bundle; BundleError when the parts do not fit together.
    """
    check_target(folder)
    try:
        with replacing_folder(folder) as beside:
            _fill(parts, beside)
            check_arrays(Bundle(beside))
            if folder.exists():
                own = _own_files(folder)
                for path in folder.iterdir():
                    if path.is_file() and path.name not in own and not (beside / path.name).exists():
                        shutil.copyfile(path, beside / path.name)
    except BundleError as error:
        raise BundleError(str(error).replace(str(beside), str(folder))) from None


def check_target(folder: Path) -> None:
    """Whether a bundle may be written there, to be asked before hours of work. Raises: StoreError."""
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MANIFEST).exists())):
        raise StoreError(f"{folder}: is there and is no bundle; give another name")


def _own_files(folder: Path) -> set[str]:
    """The files that a bundle's manifest names; of one that cannot be read all networks and arrays."""
    try:
        return {entry.file for entry in read_manifest(folder).files}
    except BundleError:
        return {path.name for path in folder.iterdir() if path.suffix in {".onnx", ".npz", ".npy"}}


def upgrade(folder: Path) -> Manifest:
    """Rewrite the manifest of a bundle of an older format; its files stay as they are, and so do its descriptors and their two
    hashes. What is fitted for matching and lies beside (matching.json, quantisers.npz) is taken in.

    Returns: the manifest. Raises: BundleError, StoreError.
    """
    manifest = Bundle(folder).manifest
    beside = {name: folder / file for name, file in MATCHING.items() if (folder / file).is_file()}
    taken_in = {name: _matching_file(folder, name, file) for name, file in beside.items()}
    raw = manifest.model_dump()
    raw["matching"] = taken_in | raw["matching"]
    manifest = check_manifest(raw, folder / MANIFEST)
    _write_manifest(manifest, folder)
    return manifest


def set_matching(folder: Path, files: Mapping[MatchingFile, Path]) -> None:
    """Give a bundle other constants or quantisers of matching. Raises: BundleError, StoreError."""
    parts = parts_of(Bundle(folder))
    write_bundle(replace(parts, matching={**parts.matching, **files}), folder)


def _fill(parts: BundleParts, folder: Path) -> None:
    np.savez(folder / PROJECTION, mean=parts.mean, components=parts.components, eigenvalues=parts.eigenvalues)
    np.save(folder / BANK, parts.bank)
    roles = [network.role for network in parts.networks]
    several = {role for role in roles if role == "detector" or roles.count(role) > 1}
    manifest = {
        "format": FORMAT,
        "name": parts.name,
        "networks": [_network(network, folder, alone=network.role not in several) for network in parts.networks],
        "projection": _file(folder, PROJECTION)
        | {"input_dimension": len(parts.mean), "dimension": len(parts.eigenvalues)},
        "bank": _file(folder, BANK) | {"rows": len(parts.bank)},
        "normalisation": parts.normalisation,
        "score_normalisation": parts.score_normalisation,
        "thresholds": parts.thresholds,
        "matching": {name: _matching_file(folder, name, file) for name, file in parts.matching.items()},
        "origin": parts.origin,
        "quality": parts.quality,
    }
    _write_manifest(check_manifest(manifest, folder / MANIFEST), folder)


def _network(network: NetworkParts, folder: Path, *, alone: bool) -> Json:
    """Copy a network's files and describe them; its embeddings' length is read from them. Raises: BundleError."""
    precisions: Json = {}
    found = set()
    for precision, source in network.files.items():
        name = f"{precision}.onnx" if alone else f"{network.name}.{precision}.onnx"
        shutil.copyfile(source, folder / name)
        precisions[precision] = _file(folder, name)
        onnx = OrtNetwork(folder / name, batch=1)
        found.add((onnx.input_size, onnx.dimension))
    if len(found) != 1 or (size := next(iter(found))[0]) != network.size:
        sizes = ", ".join(f"{size} pixels to {dimension} values" for size, dimension in sorted(found)) or "no files"
        raise BundleError(
            f"network {network.name}: {sizes}; all its files must take {network.size} pixels, and give alike"
        )
    return {
        "name": network.name,
        "role": network.role,
        "input_size": size,
        "dimension": next(iter(found))[1],
        "batch": network.batch,
        "layout": "NHWC",
        "colour": "RGB",
        "resize": "stretch",
        "precisions": precisions,
    }


def _matching_file(folder: Path, name: MatchingFile, source: Path) -> Json:
    """Raises: BundleError for a file that is none of the kind."""
    check_matching(name, source)
    if source != folder / MATCHING[name]:
        shutil.copyfile(source, folder / MATCHING[name])
    return _file(folder, MATCHING[name])


def _file(folder: Path, name: str) -> Json:
    return {"file": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}


def _write_manifest(manifest: Manifest, folder: Path) -> None:
    text = json.dumps(manifest.model_dump(exclude_defaults=True), indent=2, ensure_ascii=False)
    with replacing(folder / MANIFEST) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
