"""Bundles: a folder with everything inference needs. Reading and checking; ``copytrace.export`` writes them.

``manifest.json`` names every file with its sha256 (see ``manifest``). Nothing in a bundle is ever unpickled.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from .describe import Backend, Describer, Normalisation, Projection, open_describer
from .errors import BundleError, PrecisionError
from .manifest import FileEntry, MatchingFile, NetworkFile, Precision, read_manifest

DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "default"

Float32 = NDArray[np.float32]


class Bundle:
    """An opened bundle: every file's hash has been checked, and projection and bank are what they should be.

    manifest: see ``manifest``. projection: of raw embeddings. bank: float32 [M, D].
    Raises: BundleError when anything is missing, changed, malformed, or newer than this engine.
    """

    def __init__(self, path: str | os.PathLike[str] = DEFAULT_BUNDLE) -> None:
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        for entry in self.manifest.files:
            _check_file(self.path, entry)
        self.projection = self._read_projection()
        self.bank = self._read_bank()

    @property
    def recipe(self) -> str:
        """sha256 over the normalisation and the files that a descriptor depends on; resuming compares it."""
        networks = self.manifest.descriptors
        relevant = {
            "sha256": {entry.file: entry.sha256 for entry in self.manifest.descriptor_files},
            "normalisation": self.manifest.normalisation.model_dump(),
        }
        if len(networks) > 1:  # then their order counts as well
            relevant["networks"] = {str(i): network.name for i, network in enumerate(networks)}
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()

    @property
    def space(self) -> str:
        """sha256 over the descriptor networks and the projection: what makes descriptors comparable with each other.

        All precisions of a network share it: it goes by the float32 network, from which the others are made (by the first
        of the manifest where that one is left out). Bank and normalisation move queries only, and are no part of it.
        """
        entries = [network.precisions for network in self.manifest.descriptors]
        networks = [files.get("float32") or next(iter(files.values())) for files in entries]
        relevant = [file.sha256 for file in (*networks, self.manifest.projection)]
        return hashlib.sha256(json.dumps(relevant).encode()).hexdigest()

    @property
    def matching(self) -> str:
        """sha256 over what is fitted for matching: constants and quantisers, its own or those of the default bundle.

        Collections record it, so that another answer of theirs can be told from a change of these.
        """
        files = [self.matching_file(name) for name in get_args(MatchingFile)]
        return hashlib.sha256(json.dumps([entry.sha256 for _, entry in files]).encode()).hexdigest()

    def matching_file(self, name: MatchingFile) -> tuple[Path, FileEntry]:
        """A file of what is fitted for matching; where the bundle has none, that of the default bundle.

        Raises: BundleError when that one has none either.
        """
        own = self.manifest.matching.get(name)
        if own is not None:
            return self.path / own.file, own
        entry = read_manifest(DEFAULT_BUNDLE).matching.get(name)
        if entry is None:
            raise BundleError(f"{self.path}: has no {name} of matching, and neither has the default bundle")
        _check_file(DEFAULT_BUNDLE, entry)
        return DEFAULT_BUNDLE / entry.file, entry

    @property
    def precisions(self) -> list[Precision]:
        """Those that every descriptor network has."""
        return self.manifest.precisions

    def networks(self, precision: str) -> list[NetworkFile]:
        """The descriptor networks in one precision, in the order of their parts of a raw embedding.

        Raises: PrecisionError; TypeError for what is no text.
        """
        there = ", ".join(self.precisions)
        if not isinstance(precision, str):
            raise TypeError(f"precision must be one of {there}, not {type(precision).__name__}")
        for known in self.precisions:
            if known == precision:
                networks = self.manifest.descriptors
                return [NetworkFile(self.path / entry.precisions[known].file, entry, known) for entry in networks]
        raise PrecisionError(f"{self.path}: no {precision} network; there is {there}")

    def detector(self, precision: Precision) -> NetworkFile | None:
        """The network that finds pasted photographs, in this precision or, where it does not have it, in one that it has; None
        where there is none."""
        entry = self.manifest.detector
        if entry is None:
            return None
        chosen = precision if precision in entry.precisions else next(iter(entry.precisions))
        return NetworkFile(self.path / entry.precisions[chosen].file, entry, chosen)

    def describer(self, backend: Backend = "native", threads: int = 1) -> Describer:
        """Projection and bank made ready; see :func:`copytrace.engine.describe.open_describer`.

        Raises: BundleError where their values cannot be computed with.
        """
        try:
            return open_describer(self.projection, self.bank, backend=backend, threads=threads)
        except ValueError as error:
            raise BundleError(f"{self.path}: its projection and bank cannot be used: {error}") from None

    def normalisation(self, method: int | None = None) -> Normalisation:
        """The constants of a method, or of the bundle's own choice."""
        entry = self.manifest.normalisation
        chosen = entry.method if method is None else method
        if chosen not in (1, 2):
            raise ValueError(f"the normalisation method must be 1 or 2, not {chosen}")
        beta = entry.beta["1" if chosen == 1 else "2"]
        return Normalisation(1 if chosen == 1 else 2, beta, entry.cosines, entry.directions)

    def _read_projection(self) -> Projection:
        entry = self.manifest.projection
        path, names = self.path / entry.file, ("mean", "components", "eigenvalues")
        e, d = entry.input_dimension, entry.dimension
        try:
            with np.load(path, allow_pickle=False) as file:
                if missing := [name for name in names if name not in file]:
                    raise ValueError(f"no {missing[0]} in it")
                parts = [
                    _float32(file[name], name, shape) for name, shape in zip(names, ((e,), (d, e), (d,)), strict=True)
                ]
        except Exception as error:  # numpy and zipfile raise whatever damage leads them to
            raise BundleError(f"{path}: not a projection: {_line(error)}") from None
        if not (parts[2] > 0).all():
            raise BundleError(f"{path}: not a projection: eigenvalues must be greater than 0")
        if not parts[1].any(axis=1).all():
            raise BundleError(f"{path}: not a projection: a row of components is zero")
        return Projection(*parts)

    def _read_bank(self) -> Float32:
        path = self.path / self.manifest.bank.file
        try:
            rows = np.load(path, allow_pickle=False)
            return _float32(rows, "bank", (self.manifest.bank.rows, self.manifest.projection.dimension))
        except Exception as error:
            raise BundleError(f"{path}: not a bank: {_line(error)}") from None


def _check_file(folder: Path, entry: FileEntry) -> None:
    path = folder / entry.file
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise BundleError(f"{path}: not a file")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from None
    if digest != entry.sha256:
        raise BundleError(f"{path}: changed since the bundle was made (sha256 differs)")


def _float32(array: object, name: str, shape: tuple[int, ...]) -> Float32:
    """Raises: ValueError unless it is a finite array of floats of this shape."""
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.shape != shape:
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "no array"
        raise ValueError(f"{name} must be float32 {list(shape)}, as the manifest says, not {found}")
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(result).all():
        raise ValueError(f"{name} has NaN or infinite values")
    return result


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
