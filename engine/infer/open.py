"""Which runtime computes a network."""

from typing import Literal

from ..errors import BundleError, CopytraceError
from ..manifest import NetworkFile
from .network import Network
from .ort import OrtNetwork

Device = Literal["auto", "cpu", "cuda"]


def open_network(file: NetworkFile, device: Device = "auto", *, batch: int | None = None) -> Network:
    """A network of a bundle made ready to run. batch: images it computes at a time (default: the manifest's).

    Raises: BundleError when it is not what the manifest says; MissingExtraError; CopytraceError for a device that is not
    there.
    """
    if device == "cuda":
        raise CopytraceError("this version of copytrace runs on the CPU only; use --device cpu")
    network = OrtNetwork(file.path, batch=batch or file.batch)
    for name, said, found in (
        ("input_size", file.input_size, network.input_size),
        ("dimension", file.dimension, network.dimension),
    ):
        if said != found:
            raise BundleError(f"{file.path}: its {name} is {found}, the manifest says {said}")
    return network
