"""The engine of a verb: what is built for a card meanwhile is shown."""

from pathlib import Path
from typing import TypedDict, Unpack

from ..api import Engine
from ..decoding import DecoderName
from ..describe import BackendName
from ..infer import Device, Runtime
from ..manifest import Precision
from .console import building_shown


class EngineOptions(TypedDict, total=False):
    """Those of :class:`~copytrace.engine.api.Engine` that verbs have."""

    precision: Precision
    device: Device
    runtime: Runtime
    threads: int | None
    batch: int | None
    backend: BackendName
    pixel_limit: int
    decoder: DecoderName


def open_engine(bundle: Path, **options: Unpack[EngineOptions]) -> Engine:
    """Raises: as :class:`~copytrace.engine.api.Engine`."""
    with building_shown() as building:
        return Engine(bundle, **options, building=building)
