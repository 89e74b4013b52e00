"""Parts of a bundle fitted anew: projection, bank, normalisation constants."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from copytrace.engine import Bundle
from copytrace.engine.describe import reference as describe
from copytrace.engine.infer import OrtNetwork
from copytrace.export.bundle import parts_of, write_bundle

from .features import run_network
from .finish import FIT_PHOTOS, clean_pictures, fitted, tune
from .photographs import Photographs
from .validation import folder_pair


def fit_projection(bundle: Bundle, roots: Sequence[Path], dimension: int, whitened: bool, bank_rows: int) -> None:
    """Replace projection and bank by ones fitted on photographs without attacks; the bank lives in the projection's space.

    Raises: CopytraceError when the photographs are too few; SourceError, StoreError.
    """
    photos, network = Photographs(roots), _network(bundle)
    raw = run_network(network, clean_pictures(photos, FIT_PHOTOS, network.input_size))
    write_bundle(replace(parts_of(bundle), **fitted(raw, whitened, dimension, bank_rows)), bundle.path)


def fit_bank(bundle: Bundle, roots: Sequence[Path], rows: int) -> None:
    """Replace the bank. Raises: SourceError, StoreError."""
    photos, network, p = Photographs(roots), _network(bundle), bundle.projection
    raw = run_network(network, clean_pictures(photos, rows, network.input_size))
    bank = describe.project(raw, p.mean, p.components, p.eigenvalues)
    write_bundle(replace(parts_of(bundle), bank=bank), bundle.path)


def tune_bundle(bundle: Bundle, validation: Path) -> dict[str, float]:
    """Replace the normalisation constants by the best on a folder pair with truth; returns the micro-AP without and with
    each method.

    Raises: SourceError, ScoreError, StoreError.
    """
    pair, network, parts = folder_pair(validation), _network(bundle), parts_of(bundle)
    queries, references = (run_network(network, part(network.input_size)) for part in (pair.queries, pair.references))
    parts.normalisation, figures = tune(parts, pair, queries, references)
    parts.quality["validation"] = figures
    write_bundle(parts, bundle.path)
    return figures


def _network(bundle: Bundle) -> OrtNetwork:
    """Its float32 network where it has one: what is fitted holds for the others too."""
    entry = bundle.network("float32" if "float32" in bundle.precisions else bundle.precisions[0])
    return OrtNetwork(entry.path, batch=entry.batch)
