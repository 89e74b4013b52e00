"""A network's other precisions, made from its float32 ONNX file and measured against it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from copytrace.engine.manifest import Precision

from .converted import Converted
from .fp16 import convert_fp16
from .int8 import quantize_int8
from .onnx import MIN_COSINE, ParityError

_MAKERS: dict[str, Callable[[Path, Path, NDArray[np.uint8]], Converted]] = {
    "int8": quantize_int8,
    "fp16": convert_fp16,
}
_FIGURES = {"int8": "int8_mean_cosine_to_float32", "fp16": "fp16_min_cosine_to_float32"}


@dataclass(frozen=True)
class MadePrecisions:
    """files: precision -> ONNX file, in the order of the manifest's. quality: measured figures, for the manifest."""

    files: dict[Precision, Path]
    quality: dict[str, Any]


def make_precisions(
    float32: Path, wanted: Collection[Precision], photos: NDArray[np.uint8], folder: Path
) -> MadePrecisions:
    """Make those that are wanted beside float32, which is always one of them.

    photos: uint8 [N, S, S, 3], of the kind the network will see. folder: where the files are written.
    Raises: CopytraceError when the photographs are too few; ParityError where fp16 is too far from float32.
    """
    files: dict[Precision, Path] = {}
    quality: dict[str, Any] = {}
    for precision in get_args(Precision):
        if precision == "float32":
            files[precision] = float32
        elif precision in wanted:
            files[precision] = folder / f"{precision}.onnx"
            made = _MAKERS[precision](float32, files[precision], photos)
            quality[_FIGURES[precision]] = made.cosine
            if made.kept:
                quality[f"{precision}_nodes_kept_float"] = made.kept
    if "fp16" in files and not quality[_FIGURES["fp16"]] >= MIN_COSINE:
        raise ParityError(
            f"fp16: cosine to float32 falls to {quality[_FIGURES['fp16']]:.6f}, at least {MIN_COSINE} is required; "
            "leave fp16 out"
        )
    return MadePrecisions(files, quality)
