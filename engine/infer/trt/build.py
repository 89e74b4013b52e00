"""An ONNX network built into an engine for one card."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...manifest import NetworkFile
from ..one_line import one_line
from ..signature import Signature, checked
from .key import Profile
from .library import Library
from .progress import Steps, monitor

Progress = Callable[[float], None]
"""Told how much of a build is done, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Built:
    """An engine's bytes, and what the builder measured on the way, for the next build."""

    plan: bytes
    timing: bytes


def build_engine(
    library: Library,
    file: NetworkFile,
    profile: Profile,
    *,
    compute_capability: str | None = None,
    timing: bytes = b"",
    workspace: int | None = None,
    progress: Progress = lambda done: None,
) -> Built:
    """Build a network as it is written: every layer in the type that the file says (TensorRT's "strongly typed").

    Float32 is computed without TF32's rounding, and in such a way that a row does not depend on the other rows of its batch
    (TensorRT's "distributive independence", which allows one profile to an engine).

    compute_capability: None for the card of this machine; another one can be built for by TensorRT for RTX alone, and needs no
    card. timing: of an earlier build; what does not fit this TensorRT is not used. workspace: bytes of scratch memory that
    layers may use at most (default: all of the card's).
    Raises: BundleError where the network takes or gives what the manifest does not say; DeviceError where TensorRT cannot
    compute it, DeviceMemoryError where memory does not suffice; and what ``progress`` raises, which ends the build.
    """
    with library.listening() as lines:
        builder = library.module.Builder(library.log)
        network = _parsed(library, builder, file.path, lines)
        wanted = _signature(file, network)
        config = _config(library, builder, compute_capability, workspace, lines)
        shapes = [wanted.pixels_shape(count) for count in (profile.least, profile.best, profile.most)]
        options = builder.create_optimization_profile()
        options.set_shape(wanted.input, *shapes)
        if config.add_optimization_profile(options) < 0:
            raise library.error(f"refuses batches {profile} of {file.path.name}", lines)
        steps = Steps(progress)
        watch = monitor(library.module, steps)  # TensorRT does not keep it
        config.progress_monitor = watch
        measured = _with_timing(config, timing)
        plan = builder.build_serialized_network(network, config)
        if steps.raised is not None:
            raise steps.raised
        if plan is None:
            raise library.error(f"cannot build {file.path.name} for batches of {profile.best}", lines)
        return Built(bytes(plan), measured())


def _parsed(library: Library, builder: Any, path: Path, lines: list[str]) -> Any:
    flags = library.module.NetworkDefinitionCreationFlag
    network = builder.create_network(1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0)
    parser = library.module.OnnxParser(network, library.log)
    if not parser.parse_from_file(str(path)):
        first = parser.get_error(0) if parser.num_errors else None
        where = f"its node {first.node_operator()}: " if first is not None and first.node_operator() else ""
        raise library.error(f"cannot compute {path.name}", [where + one_line(first.desc())] if first else lines)
    return network


def _signature(file: NetworkFile, network: Any) -> Signature:
    """What TensorRT sees of the network. Raises: BundleError unless it is what the manifest says."""
    taken = [_facts(network.get_input(i)) for i in range(network.num_inputs)]
    given = [_facts(network.get_output(i)) for i in range(network.num_outputs)]
    return checked(file.path, taken, given, "uint8", "float").agreeing(file)


def _facts(tensor: Any) -> tuple[str, str, list[int]]:
    return tensor.name, tensor.dtype.name.lower(), list(tensor.shape)


def _config(library: Library, builder: Any, capability: str | None, workspace: int | None, lines: list[str]) -> Any:
    module, config = library.module, builder.create_builder_config()
    config.clear_flag(module.BuilderFlag.TF32)
    config.set_flag(module.BuilderFlag.DISTRIBUTIVE_INDEPENDENCE)
    if workspace is not None:
        config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, workspace)
    if hasattr(config, "set_compute_capability"):  # TensorRT for RTX; the other one builds for the card it finds
        name = "CURRENT" if capability is None else f"SM{capability.replace('.', '')}"
        target = getattr(module.ComputeCapability, name, None)
        config.num_compute_capabilities = 1
        if target is None or not config.set_compute_capability(target, 0):
            raise library.error(
                f"cannot build for the compute capability {capability}", lines or ["it does not know it"]
            )
    elif capability is not None:
        raise library.error(
            f"cannot build for the compute capability {capability}", ["it builds for this machine's card"]
        )
    return config


def _with_timing(config: Any, timing: bytes) -> Callable[[], bytes]:
    """Give a build what was measured before, where TensorRT takes it; the function gives what is known after it."""
    for before in (timing, b""):
        with _quiet():
            cache = config.create_timing_cache(before)
            if cache is not None and config.set_timing_cache(cache, False):
                return lambda: _serialised(cache)
    return bytes


def _serialised(cache: Any) -> bytes:
    with _quiet():
        return bytes(cache.serialize())


@contextmanager
def _quiet() -> Iterator[None]:
    """TensorRT for RTX measures nothing, and says so with every call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
