"""Parts of a bundle fitted anew: projection, bank, normalisation constants; and bundles joined to one."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copytrace.engine import BadImageError, Bundle
from copytrace.engine.bundle_embedder import BundleEmbedder
from copytrace.engine.describe import reference as describe
from copytrace.engine.manifest import MatchingFile
from copytrace.engine.pipeline import Pipeline
from copytrace.engine.read import Source, open_source
from copytrace.export.bundle import BundleParts, NetworkParts, parts_of, write_bundle

from ..data.features import run_embedder
from ..data.photographs import Photographs, spread
from ..data.validation import folder_pair
from ..models.projection import identity_projection
from .ensemble import learn_projection, view_embeddings
from .finish import BANK_ROWS, CONSTANTS, DIMENSION, FIT_PHOTOS, fitted, tune

Float32 = NDArray[np.float32]

PARITY = ("float32_min_cosine_to_torch", "int8_mean_cosine_to_float32")
"""Measured for every member; the worst holds for an ensemble."""


def fit_projection(bundle: Bundle, roots: Sequence[Path], dimension: int, whitened: bool, bank_rows: int) -> None:
    """Replace projection and bank by ones fitted on photographs without attacks; the bank lives in the projection's space.

    Raises: CopytraceError when the photographs are too few; SourceError, StoreError.
    """
    raw = run_embedder(_embedder(bundle), _clean(Photographs(roots), FIT_PHOTOS))
    write_bundle(replace(parts_of(bundle), **fitted(raw, whitened, dimension, bank_rows)), bundle.path)


def fit_bank(bundle: Bundle, roots: Sequence[Path], rows: int) -> None:
    """Replace the bank. Raises: SourceError, StoreError."""
    p = bundle.projection
    raw = run_embedder(_embedder(bundle), _clean(Photographs(roots), rows))
    bank = describe.project(raw, p.mean, p.components, p.eigenvalues)
    write_bundle(replace(parts_of(bundle), bank=bank), bundle.path)


def tune_bundle(bundle: Bundle, validation: Path) -> dict[str, float]:
    """Replace the constants of query and score normalisation by the best on a folder pair with truth; returns the micro-AP
    without and with each.

    Raises: SourceError, ScoreError, StoreError; BadImageError for a picture that cannot be used.
    """
    parts = parts_of(bundle)
    figures = parts.quality["validation"] = _tuned(parts, _embedder(bundle), validation)
    write_bundle(parts, bundle.path)
    return figures


def combine(
    bundles: Sequence[Bundle],
    roots: Sequence[Path],
    target: Path,
    validation: Path | None = None,
    *,
    photographs: int = 4000,
    views: int = 6,
    steps: int = 300,
    seed: int = 0,
) -> dict[str, Any]:
    """One bundle of several, an ensemble: every network sees the picture at its own size, their outputs are concatenated, and
    a projection is learnt from attacked views of ``photographs`` photographs (see :mod:`.ensemble`).

    Returns: the measured figures. Raises: CopytraceError when the photographs are too few; SourceError, ScoreError, StoreError.
    """
    members = [parts_of(bundle) for bundle in bundles]
    names = _names([network.name for member in members for network in member.networks])
    networks = [replace(network, name=name) for network, name in zip(_networks(members), names, strict=True)]
    photos, width = Photographs(roots), sum(len(member.mean) for member in members)
    mean, components, eigenvalues = identity_projection(width)
    parts = BundleParts(
        name=target.resolve().name,
        networks=networks,
        mean=mean,
        components=components,
        eigenvalues=eigenvalues,
        bank=components[:1],
        normalisation=CONSTANTS,
        matching=_matching(members),
        origin={
            "made_by": "copytrace train combine",
            "ensemble": [{"name": member.name, "origin": member.origin} for member in members],
            "projection": f"learnt from {views} views of each of {min(photographs, len(photos))} photographs",
            "bank": f"from up to {BANK_ROWS} un-attacked photographs",
        },
        quality={
            name: min(found) for name in PARITY if (found := [m.quality[name] for m in members if name in m.quality])
        },
    )
    with tempfile.TemporaryDirectory() as temporary:  # the networks side by side, run once as the engine runs them
        unprojected = Path(temporary) / "bundle"
        write_bundle(parts, unprojected)
        embedder = _embedder(Bundle(unprojected))
        embeddings = view_embeddings(embedder, photos, photographs, views, seed)
        parts.mean, parts.components, parts.eigenvalues = learn_projection(embeddings, DIMENSION, steps, seed)
        raw = embeddings[:, 0] if len(embeddings) >= BANK_ROWS else run_embedder(embedder, _clean(photos, BANK_ROWS))
        parts.bank = describe.project(raw, parts.mean, parts.components, parts.eigenvalues)[:BANK_ROWS]
    write_bundle(parts, target)
    return {"validation": tune_bundle(Bundle(target), validation)} if validation else {}


def _networks(members: Iterable[BundleParts]) -> Iterator[NetworkParts]:
    return (network for member in members for network in member.networks)


def _matching(members: Iterable[BundleParts]) -> Mapping[MatchingFile, Path]:
    """Quantisers, which know no network, of the first member that has some; constants of matching fit their own one only."""
    for member in members:
        if "quantisers" in member.matching:
            return {"quantisers": member.matching["quantisers"]}
    return {}


def _names(names: Sequence[str]) -> list[str]:
    """Names that are all different: a number is added to those that are not."""
    result: list[str] = []
    for name in names:
        free = (f"{name}{i}" for i in count(1))
        result.append(name if names.count(name) == 1 else next(new for new in free if new not in {*names, *result}))
    return result


def _embedder(bundle: Bundle) -> BundleEmbedder:
    """Its float32 networks where it has them: what is fitted holds for the others too."""
    return BundleEmbedder(bundle, precision="float32" if "float32" in bundle.precisions else bundle.precisions[0])


def _clean(photos: Photographs, wanted: int) -> Iterator[NDArray[np.uint8]]:
    return (photos.load(place)[1] for place in spread(len(photos), wanted))


def _tuned(parts: BundleParts, embedder: BundleEmbedder, validation: Path) -> dict[str, float]:
    pair = folder_pair(validation)
    queries, references = (_raw(embedder, open_source(validation / name)) for name in ("queries", "references"))
    return tune(parts, pair, queries, references)


def _raw(embedder: BundleEmbedder, source: Source) -> Float32:
    """Raw embeddings [N, E] of a whole source, as the engine computes them. Raises: BadImageError."""
    parts = list(Pipeline(embedder).embed(iter(source), "raw"))
    for name, why in (item for part in parts for item in part.items):
        if why is not None:
            raise BadImageError(f"{name}: {why}")
    return np.concatenate([part.rows for part in parts])
