"""Bundles: a folder with everything inference needs. Reading and checking; ``copytrace.export`` writes them.

``manifest.json``::

    format         1
    name           text
    networks       {precision: {file, input_size, dimension, batch, layout: "NHWC", colour: "RGB", resize: "stretch"}}
    projection     {file, input_dimension, dimension}         an .npz: mean, components, eigenvalues
    bank           {file, rows}                               an .npy: float32 [M, D]
    normalisation  {method, beta: {"1": ..., "2": ...}, cosines, directions}
    sha256         {file: digest}
    origin         where weights, projection and bank come from
    quality        measured figures

Nothing in a bundle is ever unpickled.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .describe import Normalisation, Projection
from .errors import BundleError, PrecisionError

FORMAT = 1
DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "default"


@dataclass(frozen=True)
class NetworkEntry:
    """One network file of a bundle."""

    path: Path
    input_size: int
    dimension: int
    batch: int


class Bundle:
    """An opened bundle; every file's hash has been checked.

    Raises: BundleError when a file is missing or changed, or the format is newer than this engine.
    """

    def __init__(self, path: str | os.PathLike[str] = DEFAULT_BUNDLE) -> None:
        self.path = Path(path)
        self.manifest = _read_manifest(self.path)
        self._check_files()

    @property
    def recipe(self) -> str:
        """sha256 over the hashes of all files and the normalisation: all that a descriptor depends on; resuming compares it."""
        relevant = {key: self.manifest[key] for key in ("sha256", "normalisation")}
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()

    @property
    def space(self) -> str:
        """sha256 over the network and the projection: what makes descriptors comparable with each other.

        All precisions of a network share it: it goes by the float32 network, from which the others are made (by the first
        of the manifest where that one is left out). Bank and normalisation move queries only, and are no part of it.
        """
        entries, hashes = self.manifest["networks"], self.manifest["sha256"]
        network = entries.get("float32") or next(iter(entries.values()))
        relevant = [hashes[network["file"]], hashes[self.manifest["projection"]["file"]]]
        return hashlib.sha256(json.dumps(relevant).encode()).hexdigest()

    @property
    def precisions(self) -> list[str]:
        return list(self.manifest["networks"])

    def network(self, precision: str) -> NetworkEntry:
        entries = self.manifest["networks"]
        if not isinstance(precision, str):
            raise TypeError(f"precision must be one of {', '.join(entries)}, not {type(precision).__name__}")
        if precision not in entries:
            raise PrecisionError(f"{self.path}: no {precision} network; there is {', '.join(entries)}")
        entry = entries[precision]
        if not isinstance(entry["batch"], int) or entry["batch"] < 1:
            raise BundleError(
                f"{self.path}: the batch of the {precision} network must be 1 or more, not {entry['batch']}"
            )
        return NetworkEntry(self.path / entry["file"], entry["input_size"], entry["dimension"], entry["batch"])

    @cached_property
    def projection(self) -> Projection:
        name = self.manifest["projection"]["file"]
        try:
            with np.load(self.path / name, allow_pickle=False) as file:
                parts = [np.ascontiguousarray(file[key], np.float32) for key in ("mean", "components", "eigenvalues")]
        except Exception as error:  # numpy and zipfile raise whatever they come across
            raise BundleError(f"{self.path / name}: not a projection: {error}") from None
        mean, components, eigenvalues = parts
        if (
            mean.ndim != 1
            or eigenvalues.ndim != 1
            or components.shape != (len(eigenvalues), len(mean))
            or not mean.size
        ):
            raise BundleError(f"{self.path / name}: not a projection: shapes {[part.shape for part in parts]}")
        if not all(np.isfinite(part).all() for part in parts) or not (eigenvalues > 0).all():
            raise BundleError(f"{self.path / name}: values that are not finite, or eigenvalues that are not positive")
        return Projection(*parts)

    @cached_property
    def bank(self) -> NDArray[np.float32]:
        """float32 [M, D]."""
        name = self.manifest["bank"]["file"]
        try:
            bank = np.load(self.path / name, allow_pickle=False)
            if not isinstance(bank, np.ndarray) or bank.dtype.kind != "f":
                raise ValueError("no array of floats")
            bank = np.ascontiguousarray(bank, np.float32)
        except Exception as error:
            raise BundleError(f"{self.path / name}: not a bank: {error}") from None
        if bank.ndim != 2 or not bank.size or not np.isfinite(bank).all():
            raise BundleError(f"{self.path / name}: not a bank: must be finite [M, D], is of shape {bank.shape}")
        return bank

    def normalisation(self, method: int | None = None) -> Normalisation:
        """The constants of a method, or of the bundle's own choice."""
        entry = self.manifest["normalisation"]
        chosen = entry["method"] if method is None else method
        if chosen not in (1, 2):
            raise BundleError(f"{self.path}: the normalisation method must be 1 or 2, not {chosen}")
        return Normalisation(1 if chosen == 1 else 2, entry["beta"][str(chosen)], entry["cosines"], entry["directions"])

    def _check_files(self) -> None:
        used = [entry["file"] for entry in self.manifest["networks"].values()]
        used += [self.manifest["projection"]["file"], self.manifest["bank"]["file"]]
        hashes = self.manifest["sha256"]
        for name in used:
            if Path(name).name != name or name not in hashes:
                raise BundleError(
                    f"{self.path}: the manifest has no sha256 for {name!r}, or it lies outside the bundle"
                )
            try:
                with (self.path / name).open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise BundleError(f"{self.path / name}: {error.strerror}") from None
            if digest != hashes[name]:
                raise BundleError(f"{self.path / name}: changed since the bundle was made (sha256 differs)")


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{path}: not a bundle: cannot read manifest.json: {error.strerror}") from None
    except ValueError as error:
        raise BundleError(f"{file}: not valid JSON: {error}") from None
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(version, int):
        raise BundleError(f"{file}: no format number")
    if version > FORMAT:
        raise BundleError(f"{file}: format {version} is newer than this copytrace reads ({FORMAT}); update copytrace")
    missing = {"networks", "projection", "bank", "normalisation", "sha256"} - manifest.keys()
    if missing:
        raise BundleError(f"{file}: {', '.join(sorted(missing))} missing")
    return dict(manifest)
