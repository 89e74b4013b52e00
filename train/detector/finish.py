"""From a trained detector to its ONNX file, measured on photographs held back, and from there into a bundle."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from copytrace.engine import Bundle, CopytraceError
from copytrace.engine.infer import OrtNetwork
from copytrace.engine.match.detector import DetectorRules
from copytrace.engine.match.regions import Pixels, Region
from copytrace.engine.region_finders import TrainedFinder
from copytrace.engine.store.atomic import replacing
from copytrace.export.bundle import NetworkParts, parts_of, write_bundle
from copytrace.export.int8 import quantize_int8
from copytrace.export.onnx import check_parity, export_onnx

from ..bundles.finish import CALIBRATION_PHOTOS
from .measure import measure_on_scenes
from .network import DetectorNetwork
from .scene_files import SceneFiles
from .scenes import MOST_BOXES

NETWORK, BATCH = "detector", 1
FLOAT32, INT8, FACTS = "detector.float32.onnx", "detector.int8.onnx", "detector.json"
_ANY = DetectorRules(confidence=0.05)


def export(
    network: DetectorNetwork, folder: Path, size: int, scenes: SceneFiles, held: SceneFiles, origin: dict[str, Any]
) -> dict[str, Any]:
    """Write the network as float32 and int8 ONNX into ``folder``, and ``detector.json`` beside it.

    scenes: some of those that were trained on, which int8 is calibrated with. held: scenes of photographs held back.
    Returns: the measured figures. Raises: ParityError, StoreError.
    """
    calibration = np.stack([scenes[i].pixels for i in range(min(len(scenes), CALIBRATION_PHOTOS))])
    with replacing(folder / FLOAT32) as temporary:
        export_onnx(network, size, temporary)
        quality: dict[str, Any] = {"float32_min_cosine_to_torch": check_parity(network, temporary, calibration[:16])}
    with replacing(folder / INT8) as temporary:
        quantize_int8(folder / FLOAT32, temporary, calibration)
    for name, path in (("float32", folder / FLOAT32), ("int8", folder / INT8)):
        quality[name] = _figures(path, held)
    with replacing(folder / FACTS) as temporary:
        facts = {"size": size, "quality": quality, "origin": origin}
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return quality


def add_detector(bundle: Bundle, folder: Path) -> None:
    """Put the detector of a finished run into a bundle, in the place of one that is there; descriptors stay what they are.

    Raises: CopytraceError where the run has no detector yet; BundleError, StoreError.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        part = NetworkParts(NETWORK, int(facts["size"]), BATCH, {"int8": folder / INT8}, "detector")
        told = {"origin": facts["origin"], "quality": facts["quality"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CopytraceError(f"{folder}: holds no finished run of a detector: {error}") from None
    parts = parts_of(bundle)
    parts.networks = [network for network in parts.networks if network.role != "detector"] + [part]
    parts.origin = parts.origin | {"detector": told["origin"]}
    parts.quality = parts.quality | {"detector": told["quality"]}
    write_bundle(parts, bundle.path)


def _figures(path: Path, held: SceneFiles) -> dict[str, float]:
    """Precision and recall by the rules as they are; average precision over all that is hardly likely, too."""
    network = OrtNetwork(path, batch=BATCH)

    def found(rules: DetectorRules):
        finder = TrainedFinder(network, rules)

        def find(pixels: Pixels) -> list[Region]:
            return finder(pixels, MOST_BOXES)

        return measure_on_scenes(find, held)

    usual, any_ = found(DetectorRules()).to_dict(), found(_ANY).to_dict()
    return usual | {"average_precision": any_["average_precision"]}
