"""Which runtime computes a network, and where."""

import logging
from typing import Literal

from ..device import problem
from ..errors import BundleError, DeviceError, MissingExtraError
from ..manifest import NetworkFile
from .native import NativeNetwork, NativeRuntimeError, why_slow
from .network import Network
from .on_card import Building, Runtime, made_for_the_cpu, open_on_card
from .ort import OrtNetwork

log = logging.getLogger(__name__)

Device = Literal["auto", "cpu", "cuda"]


def open_network(
    file: NetworkFile,
    device: Device = "auto",
    *,
    runtime: Runtime = "auto",
    batch: int | None = None,
    building: Building = lambda what, done: None,
) -> Network:
    """A network of a bundle made ready to run.

    device: "auto" is a graphics card where one can be used, else the CPU; the network's ``runtime`` says which, and why. int8
    networks stay on the CPU unless a card is named: nothing has compared what a card makes of them.
    runtime: "auto" is on a card the faster one of those that are there, and on the CPU the native core for the int8 networks
    that it knows, where it is faster: its rows are ONNX Runtime's to the last bit. TensorRT builds its engines when they are
    first needed, which takes minutes; building: is told how far it is. batch: images it computes at a time (default: on the
    CPU the manifest's).
    Raises: BundleError when it is not what the manifest says; DeviceError for a card or a runtime that was named and cannot be
    used; MissingExtraError.
    """
    if device == "cpu":
        if runtime == "tensorrt":
            raise DeviceError("TensorRT does not compute on the CPU; use --device auto or --runtime onnxruntime")
        return _on_cpu(file, runtime, batch, None)
    if runtime == "native":
        if device == "cuda":
            raise DeviceError("the native runtime does not compute on a graphics card; use --device cpu")
        return _on_cpu(file, runtime, batch, None)
    if device == "auto" and runtime != "tensorrt" and (why := made_for_the_cpu(file)) is not None:
        return _on_cpu(file, runtime, batch, problem() or why)
    try:
        return open_on_card(file, runtime, batch, building)
    except BundleError:
        raise
    except (DeviceError, MissingExtraError) as error:
        if device == "cuda" or runtime == "tensorrt":
            raise DeviceError(f"cannot compute on a graphics card: {error}; use --device cpu") from error
        log.info("%s: on the CPU: %s", file.path.name, error)
        return _on_cpu(file, runtime, batch, str(error))


def _on_cpu(file: NetworkFile, runtime: Runtime, batch: int | None, why: str | None) -> Network:
    """Raises: BundleError; DeviceError where the native runtime was named and cannot compute it; MissingExtraError."""
    size, not_native = batch or file.batch, None
    if runtime == "native" or (runtime == "auto" and file.precision == "int8" and why_slow() is None):
        try:
            native = NativeNetwork(file.path, batch=size, why=why)
            native.signature.agreeing(file)
            return native
        except NativeRuntimeError as error:
            if runtime == "native":
                raise DeviceError(f"{file.path.name}: {error}; use --runtime onnxruntime") from error
            not_native = str(error)
    network = OrtNetwork(file.path, batch=size, why=why, not_native=not_native)
    network.signature.agreeing(file)
    return network
