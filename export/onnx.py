"""torch to ONNX, checked against the torch model."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from copytrace.engine import CopytraceError

from .canonical import make_canonical
from .fold import fold_constants
from .parity import cosines
from .simplify import drop_idle_clips, drop_unused_constants

INPUT, OUTPUT = "pixels", "embedding"
OPSET = 18
MIN_COSINE = 0.9999


class ParityError(CopytraceError):
    """An exported network does not compute what the torch model does."""


def export_onnx(network: torch.nn.Module, input_size: int, path: Path) -> None:
    """Write ``network`` (uint8 [N, S, S, 3] -> float32 [N, E]) as one ONNX file with a free batch dimension.

    Equal networks give equal files, byte for byte.
    """
    warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg")  # of torch's own exporter
    example = torch.zeros((2, input_size, input_size, 3), dtype=torch.uint8)
    torch.onnx.export(
        network,
        (example,),
        str(path),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=OPSET,
        external_data=False,
        input_names=[INPUT],
        output_names=[OUTPUT],
        verbose=False,
    )
    model = onnx.load(str(path))
    fold_constants(model)
    drop_idle_clips(model.graph)
    drop_unused_constants(model.graph)
    make_canonical(model)
    onnx.save(model, str(path))


def spread_sample(photos: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """At most so many of the photographs, evenly spread over them."""
    sample: NDArray[np.uint8] = photos[np.linspace(0, len(photos) - 1, min(len(photos), most)).round().astype(int)]
    return sample


def run_onnx(path: Path, pixels: NDArray[np.uint8], batch: int = 16) -> NDArray[np.float32]:
    """Embeddings of many images: uint8 [N, S, S, 3] -> float32 [N, E]."""
    session: Any = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    parts = [session.run(None, {INPUT: pixels[i : i + batch]})[0] for i in range(0, len(pixels), batch)]
    return np.concatenate(parts)


def check_parity(network: torch.nn.Module, path: Path, pixels: NDArray[np.uint8]) -> float:
    """The smallest cosine between torch's and ONNX Runtime's embeddings of ``pixels``.

    Raises: ParityError below 0.9999.
    """
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels)).numpy()
    lowest = float(cosines(expected, run_onnx(path, pixels)).min())
    if not lowest >= MIN_COSINE:
        raise ParityError(
            f"{path.name}: cosine to the torch model falls to {lowest:.6f}, at least {MIN_COSINE} is required"
        )
    return lowest
