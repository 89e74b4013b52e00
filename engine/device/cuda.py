"""The CUDA runtime as calls that return what they give or raise; and what card there is.

``cuda-bindings`` brings the runtime with it; of the machine it needs the driver alone. It is imported with the first call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from ..errors import CopytraceError, DeviceError, DeviceMemoryError, optional_module


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics card. compute_capability: as "9.0"; memory: bytes; driver: the newest CUDA version it knows, as "13.0"."""

    index: int
    name: str
    compute_capability: str
    memory: int
    driver: str


@cache
def runtime() -> ModuleType:
    """NVIDIA's binding of the runtime. Raises: MissingExtraError."""
    return optional_module("cuda.bindings.runtime", "gpu")


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of the runtime gives beside its status: nothing, a value or a tuple of them.

    Raises: DeviceMemoryError where memory is lacking, DeviceError for all else.
    """
    status, *values = function(*arguments)
    check(status, function.__name__)
    return None if not values else values[0] if len(values) == 1 else tuple(values)


def check(status: Any, what: str) -> None:
    """Raises: DeviceError, as :func:`call` does, unless a status is success."""
    errors = runtime().cudaError_t
    if status == errors.cudaSuccess:
        return
    if status in (errors.cudaErrorInsufficientDriver, errors.cudaErrorNoDevice):
        raise DeviceError(_without(status == errors.cudaErrorNoDevice))
    runtime().cudaGetLastError()  # else the next call that looks for errors would find this one
    _, text = runtime().cudaGetErrorString(status)
    line = f"{what} failed on the graphics card: {text.decode()}"
    raise (DeviceMemoryError if status == errors.cudaErrorMemoryAllocation else DeviceError)(line)


def select(device: int) -> None:
    """Make a card the one that this thread's next calls are about. Raises: DeviceError, MissingExtraError."""
    call(runtime().cudaSetDevice, device)


@cache
def card(device: int = 0) -> Card:
    """What card there is. Raises: DeviceError where there is none or its driver is missing or too old; MissingExtraError."""
    count = call(runtime().cudaGetDeviceCount)
    if device >= count:
        raise DeviceError(f"there is no graphics card {device}; there are {count}")
    facts = call(runtime().cudaGetDeviceProperties, device)
    return Card(
        index=device,
        name=facts.name.decode(errors="replace"),
        compute_capability=f"{facts.major}.{facts.minor}",
        memory=int(facts.totalGlobalMem),
        driver=_version(call(runtime().cudaDriverGetVersion)),
    )


def problem(device: int = 0) -> str | None:
    """Why a card cannot be used, in one line; None where it can."""
    try:
        card(device)
    except CopytraceError as error:
        return str(error)
    return None


def _without(driver_is_there: bool) -> str:
    needed = _version(call(runtime().cudaRuntimeGetVersion))
    found = call(runtime().cudaDriverGetVersion)
    if driver_is_there:
        return "no graphics card can be seen (CUDA_VISIBLE_DEVICES may hide it)"
    if not found:
        return "no NVIDIA driver is installed"
    return f"the NVIDIA driver is too old: it knows CUDA {_version(found)}, {needed.partition('.')[0]}.0 or newer is needed"


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
