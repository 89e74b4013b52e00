"""ONNX Runtime on a graphics card: whether the one that is installed can use it, and what its errors mean."""

from typing import Any

from .device import problem
from .errors import DeviceError, DeviceMemoryError, optional_module

PROVIDER = "CUDAExecutionProvider"


def ort_for_cards() -> Any:
    """ONNX Runtime with CUDA's libraries loaded, from pip's packages where they are there.

    Raises: DeviceError where the one that is installed is not that for cards; MissingExtraError.
    """
    ort = optional_module("onnxruntime", "gpu")
    if PROVIDER not in ort.get_available_providers():
        raise DeviceError(
            f"ONNX Runtime {ort.__version__} is installed without CUDA; for graphics cards: "
            'pip uninstall onnxruntime, then pip install "copytrace[gpu]"'
        )
    ort.preload_dlls()
    return ort


def check_on_card(session: Any) -> None:
    """Raises: DeviceError for a session that ONNX Runtime left to the CPU, for want of a library of CUDA or of a driver."""
    if session.get_providers()[0] != PROVIDER:
        why = problem() or "a library of CUDA or cuDNN cannot be loaded"
        raise DeviceError(f"ONNX Runtime cannot use a graphics card: {why}")


def card_error(error: Exception, what: str = "ONNX Runtime") -> DeviceError:
    """An error of a session on a card, as one of the engine's: DeviceMemoryError for want of memory. what: what has failed."""
    line = " ".join(str(error).split()) or type(error).__name__
    lacking = "allocate memory" in line.lower() or "out of memory" in line.lower()
    return (DeviceMemoryError if lacking else DeviceError)(f"{what}: {line}")
