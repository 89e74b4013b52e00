"""Other precisions of a bundle's networks, made of its float32 files; everything else of it stays as it is."""

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from copytrace.engine import Bundle, BundleError, CopytraceError
from copytrace.engine.manifest import NetworkEntry, Precision

from .bundle import NetworkParts, parts_of, write_bundle
from .photographs import PhotographSample
from .precisions import make_precisions

CALIBRATION_PHOTOS = 256
LEAST_PHOTOS = 16
"""Fewer show too little of what a network will see for the ranges of its tensors to hold."""


def add_precisions(
    bundle: Bundle, target: Path, wanted: Collection[Precision], photos: Sequence[Path], default_photos: Path
) -> dict[str, Any]:
    """Write a bundle's descriptor networks in these precisions, float32 always, into another bundle.

    Files that the bundle has are taken as they are; its space stays the same, so descriptors of both can be compared. photos:
    sources of photographs to calibrate int8 with; where none are given, fp16 is measured on those of ``default_photos``.
    Returns: the figures of what was made. Raises: BundleError where a float32 network is missing; CopytraceError, StoreError.
    """
    parts = parts_of(bundle)
    quality: dict[str, Any] = {}
    missing = [sorted({*wanted} - entry.precisions.keys()) for entry in bundle.manifest.descriptors]
    if not photos and any("int8" in names for names in missing):
        raise CopytraceError("int8 is calibrated on photographs like those it will see; give them with --photos")
    sizes = sorted({entry.input_size for entry in bundle.manifest.descriptors}, reverse=True)
    sample = PhotographSample(photos or [default_photos], CALIBRATION_PHOTOS, sizes)
    with tempfile.TemporaryDirectory() as temporary:
        networks = []
        for entry, network in zip(bundle.manifest.networks, parts.networks, strict=True):
            if entry.role == "descriptor":
                folder = Path(temporary) / entry.name
                folder.mkdir()
                network, figures = _completed(bundle, entry, network, wanted, sample, folder)
                quality |= {name: _worse(name, value, quality.get(name)) for name, value in figures.items()}
            networks.append(network)
        write_bundle(replace(parts, networks=networks, quality=parts.quality | quality), target)
    return quality


def _completed(
    bundle: Bundle,
    entry: NetworkEntry,
    network: NetworkParts,
    wanted: Collection[Precision],
    sample: PhotographSample,
    folder: Path,
) -> tuple[NetworkParts, dict[str, Any]]:
    """The network in all that is wanted, and the figures of what was made. Raises: BundleError, CopytraceError."""
    if "float32" not in network.files:
        raise BundleError(f"{bundle.path}: the network {entry.name} has no float32 file, of which others are made")
    missing, pixels = [p for p in wanted if p not in network.files], sample.at(entry.input_size)
    if "int8" in missing and len(pixels) < LEAST_PHOTOS:
        raise CopytraceError(f"int8 is calibrated on {LEAST_PHOTOS} photographs or more; {len(pixels)} are there")
    made = make_precisions(network.files["float32"], missing, pixels, folder)
    there = {**network.files, **made.files}
    return replace(network, files={p: there[p] for p in there if p in wanted or p == "float32"}), made.quality


def _worse(name: str, value: float, other: float | None) -> float:
    """Of two networks' figures the one that holds for both: the lower cosine; nodes are added."""
    if other is None:
        return value
    return min(value, other) if "cosine" in name else value + other
