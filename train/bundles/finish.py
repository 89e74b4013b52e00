"""From a trained network to a bundle: export, int8, projection, bank, and constants tuned on a validation pair."""

import tempfile
from collections.abc import Collection, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from copytrace.engine import CopytraceError
from copytrace.engine.describe import Describer, Normalisation, Projection, open_describer
from copytrace.engine.describe import reference as describe
from copytrace.engine.infer import OrtNetwork
from copytrace.engine.manifest import Precision
from copytrace.engine.threads import cpu_count
from copytrace.export.bundle import BundleParts, NetworkParts, write_bundle
from copytrace.export.onnx import check_parity, export_onnx
from copytrace.export.precisions import make_precisions

from ..data.features import run_network
from ..data.photographs import Photographs, spread
from ..data.validation import ValidationSet
from ..data.views import clean_view
from ..models.projection import fit_pca, identity_projection

Float32 = NDArray[np.float32]

DIMENSION = 256
BANK_ROWS = 4000
CALIBRATION_PHOTOS = 256
FIT_PHOTOS = 20_000
BATCH = 4
NETWORK = "descriptor"
PRECISIONS: tuple[Precision, ...] = ("int8", "float32")
"""What a run ends with."""
CONSTANTS = {"method": 2, "beta": {"1": 2.0, "2": 1.8}, "cosines": 3, "directions": 100}
"""The paper's."""
_BETAS = {1: (0.5, 1.0, 1.5, 2.0, 3.0, 5.0), 2: (0.6, 0.9, 1.2, 1.5, 1.8, 2.4, 3.6)}
_COSINES = (1, 3, 10)
_ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
_SCORED_ROWS = (1, 3, 10, 30, 100)


def clean_pictures(photos: Photographs, wanted: int, size: int) -> Iterator[NDArray[np.uint8]]:
    """Some photographs without attacks, preprocessed, one by one."""
    return (clean_view(photos, place, size)[1] for place in spread(len(photos), wanted))


def make_bundle(
    network: nn.Module,
    size: int,
    photos: Photographs,
    folder: Path,
    *,
    name: str,
    whitened: bool,
    origin: dict[str, Any],
    validation: ValidationSet | None = None,
    bank_rows: int = BANK_ROWS,
    precisions: Collection[Precision] = PRECISIONS,
) -> dict[str, Any]:
    """Write a network and all that goes with it into ``folder``; returns the measured figures, which the manifest holds too.

    precisions: those of its files, beside float32. Raises: ParityError; CopytraceError when the photographs are too few.
    """
    sample = np.stack(list(clean_pictures(photos, 64, size)))
    with tempfile.TemporaryDirectory() as temporary:
        float32 = Path(temporary) / "float32.onnx"
        export_onnx(network.cpu().eval(), size, float32)
        quality: dict[str, Any] = {"float32_min_cosine_to_torch": check_parity(network, float32, sample)}
        calibration = np.stack(list(clean_pictures(photos, CALIBRATION_PHOTOS, size)))
        made = make_precisions(float32, precisions, calibration, Path(temporary))
        quality |= made.quality
        trunk = OrtNetwork(float32, batch=BATCH)
        raw = run_network(trunk, clean_pictures(photos, FIT_PHOTOS if whitened else bank_rows, size))
        parts = BundleParts(
            name=name,
            networks=[NetworkParts(NETWORK, size, BATCH, made.files)],
            **fitted(raw, whitened, DIMENSION, bank_rows),
            normalisation=CONSTANTS,
            origin=origin | _described(whitened, len(raw), len(calibration) if "int8" in made.files else 0),
            quality=quality,
        )
        if validation is not None:
            queries, references = (run_network(trunk, f(size)) for f in (validation.queries, validation.references))
            quality["validation"] = tune(parts, validation, queries, references)
        write_bundle(parts, folder)
    return quality


def _described(whitened: bool, photographs: int, calibration: int) -> dict[str, str]:
    kind = "PCA, divided by the square roots of the eigenvalues" if whitened else "none: embeddings are the descriptors"
    int8 = {"int8": f"static, per channel, calibrated on {calibration} of them"} if calibration else {}
    return {"projection": kind, "bank": f"from {photographs} un-attacked photographs", **int8}


def fitted(raw: Float32, whitened: bool, dimension: int, bank_rows: int) -> dict[str, Float32]:
    """Projection and bank from raw embeddings [N, E] of un-attacked photographs, by the names of BundleParts.

    Raises: CopytraceError when they are too few.
    """
    try:
        fit = fit_pca(raw, min(dimension, raw.shape[1])) if whitened else identity_projection(raw.shape[1])
    except ValueError as error:
        raise CopytraceError(f"the projection cannot be fitted: {error}") from None
    bank = describe.project(raw[spread(len(raw), bank_rows)], *fit)
    return dict(zip(("mean", "components", "eigenvalues"), fit, strict=True)) | {"bank": bank}


def tune(parts: BundleParts, validation: ValidationSet, queries: Float32, references: Float32) -> dict[str, float]:
    """Give a bundle the normalisation constants with the highest micro-AP on a validation pair; returns that micro-AP, and
    those without normalisation and with each method.

    queries, references: raw embeddings [N, E]. Each method gets its best beta and both the best method's number of cosines.
    Then the scores of queries so moved are normalised; where that is no gain, the bundle gets no constants for it.
    """
    projection = Projection(parts.mean, parts.components, parts.eigenvalues)
    describer = open_describer(projection, parts.bank, threads=cpu_count())
    rows = describer.project(references)
    tried = {}
    for method, cosine_count in product((1, 2), _COSINES):
        for beta in _BETAS[method]:
            how = Normalisation(method, beta, cosine_count, CONSTANTS["directions"])
            tried[how] = validation.score(describer.describe_queries(queries, how), rows).micro_ap
    best = max(tried, key=tried.__getitem__)
    same = {method: [how for how in tried if how.method == method and how.cosines == best.cosines] for method in (1, 2)}
    betas = {str(method): max(hows, key=tried.__getitem__).beta for method, hows in same.items()}
    figures = {"projected": validation.score(describer.project(queries), rows).micro_ap}
    for how in (max(hows, key=tried.__getitem__) for hows in same.values()):
        figures[f"method {how.method}, beta {how.beta:g}, {how.cosines} cosines"] = tried[how]
    parts.normalisation = CONSTANTS | {"method": best.method, "beta": betas, "cosines": best.cosines}
    parts.score_normalisation, micro_ap = tune_scores(
        describer, validation, describer.describe_queries(queries, best), rows
    )
    if parts.score_normalisation:
        figures["scores, alpha {alpha:g}, n {n}".format(**parts.score_normalisation)] = micro_ap
    return {key: round(micro_ap, 4) for key, micro_ap in figures.items()}


def tune_scores(
    describer: Describer, validation: ValidationSet, queries: Float32, references: Float32
) -> tuple[dict[str, Any] | None, float]:
    """The constants of score normalisation with the highest micro-AP, and that; None where none of them beats doing without.

    queries, references: descriptors [N, D] as they are searched with. Of equals the smallest alpha, then n, is taken.
    """
    pairs = validation.pairs(queries, references)
    best, highest = None, validation.score_pairs(pairs).micro_ap
    background = {n: describer.background_scores(queries, n) for n in _SCORED_ROWS}
    for alpha, n in product(_ALPHAS, _SCORED_ROWS):
        micro_ap = validation.score_pairs(pairs.moved(alpha * background[n])).micro_ap
        if micro_ap > highest:
            best, highest = {"alpha": alpha, "n": n}, micro_ap
    return best, highest
