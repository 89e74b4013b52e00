"""What one machine does in which time, as it was measured there, and the file that keeps it.

::

    format      1
    measured    when, UTC
    machine     what ``copytrace bench`` says of a machine; its memory is part of a plan
    device      "cpu" or "cuda": where the networks computed and pairs were proposed
    computed_by what ran the networks
    threads     of the machine
    dimension   D of a descriptor
    images      what was embedded: where it came from, how many, their mean size in bytes and in pixels
    seconds     see ``Seconds``
    bytes       see ``Sizes``
    busy        what showed that the machine did other things too, "" for nothing; then the seconds are those of its processors
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import PlanError
from ..outputs import Kind, check_output
from ..store.atomic import reason, replacing
from ..strict_json import numbers, read_object

FORMAT = 1
MOST_FILE_BYTES = 1 << 20
_NAMES = ("measured", "machine", "device", "computed_by", "threads", "dimension", "images", "seconds", "bytes", "busy")
_IMAGES = ("count", "bytes", "pixels")


@dataclass(frozen=True, slots=True)
class Seconds:
    """On the wall, all threads at work."""

    start: float
    """A command from its start to its end, with one image."""
    reference: float
    """Embedding one image, from its file to the descriptor file."""
    query: float
    merge_row: float
    scan_row: float
    """Of a search, each reference: reading, ids, and making it ready to be scanned."""
    scan_pair: float
    """Of a search for the best pairs, each query with each reference."""
    found_pair: float
    """Each pair that is written."""
    nearest_pair: float
    """Of a search for the ten nearest of each query, each query with each reference."""
    one_query_row: float
    """One query alone, each reference in memory."""
    collect: float
    """One image into a collection, with local features; embedding is part of it."""
    verify: float
    """The second look at one query, embedding its views included, beside the search of the references."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one reference, in bytes unless said otherwise."""

    descriptor_row: float
    """In a descriptor file, with its id."""
    pair_row: float
    """A line of pairs."""
    collection_reference: float
    """In a collection, with local features and a thumbnail."""
    features: float
    """Local features of an image: how many."""
    views: float
    """Rows that the second look searches with, for one query: how many."""


@dataclass(frozen=True, slots=True)
class Rates:
    """See the module."""

    measured: str
    machine: dict[str, Any]
    device: str
    computed_by: str
    threads: int
    dimension: int
    image_source: str
    image_count: int
    image_bytes: float
    image_pixels: float
    seconds: Seconds
    sizes: Sizes
    busy: str = ""

    @property
    def memory_bytes(self) -> float:
        """Of the machine."""
        return float(self.machine["memory_gib"]) * 2**30

    def record(self) -> dict[str, Any]:
        """As the file holds it."""
        images = (self.image_count, self.image_bytes, self.image_pixels)
        return {
            "format": FORMAT,
            **{name: getattr(self, name) for name in _NAMES if name not in ("machine", "images", "seconds", "bytes")},
            "machine": dict(self.machine),
            "images": {"source": self.image_source, **dict(zip(_IMAGES, images, strict=True))},
            "seconds": asdict(self.seconds),
            "bytes": asdict(self.sizes),
        }


def save_rates(rates: Rates, path: Path) -> None:
    """Write the file whole or not at all. Raises: StoreError, also when there is a file of another kind."""
    check_rates_output(path)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(rates.record(), indent=1) + "\n")


def check_rates_output(path: Path) -> None:
    """Raises: StoreError where rates cannot be written, before they are measured."""
    check_output(path, Kind("a file of rates", _is_rates))


def read_rates(path: Path) -> Rates:
    """Raises: PlanError for what is no file of rates, whole and with numbers that can be."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_FILE_BYTES + 1)
        if len(data) > MOST_FILE_BYTES:
            raise ValueError(f"more than {MOST_FILE_BYTES} bytes")
        return _from_record(read_object(data.decode(), FORMAT, *_NAMES))
    except OSError as error:
        raise PlanError(f"{path}: {reason(error)}") from None
    except ValueError as error:
        raise PlanError(f"{path}: not a file of rates (copytrace plan --measure writes one): {error}") from None


def _is_rates(path: Path) -> bool:
    try:
        read_rates(path)
    except PlanError:
        return False
    return True


def _from_record(table: dict[str, Any]) -> Rates:
    """Raises: ValueError."""
    device, machine, images = _text("device", table["device"]), table["machine"], table["images"]
    if device not in ("cpu", "cuda"):
        raise ValueError(f"the device must be cpu or cuda, not {device}")
    if not isinstance(machine, dict) or not isinstance(images, dict):
        raise ValueError("machine and images must be objects")
    _numbers_above_0({"memory_gib": machine.get("memory_gib")}, ["memory_gib"])
    source = _text("source", images.pop("source", None))
    count, size, pixels = _numbers_above_0(images, _IMAGES)
    return Rates(
        measured=_text("measured", table["measured"]),
        machine=machine,
        device=device,
        computed_by=_text("computed_by", table["computed_by"]),
        threads=_whole("threads", table["threads"]),
        dimension=_whole("dimension", table["dimension"]),
        image_source=source,
        image_count=_whole("count", int(count)),
        image_bytes=size,
        image_pixels=pixels,
        seconds=Seconds(*_numbers_above_0(table["seconds"], [field.name for field in fields(Seconds)])),
        sizes=Sizes(*_numbers_above_0(table["bytes"], [field.name for field in fields(Sizes)])),
        busy=_text("busy", table["busy"]),
    )


def _numbers_above_0(value: Any, names: Sequence[str]) -> list[float]:
    found = numbers(value, names)
    for name, number in zip(names, found, strict=True):
        if not number > 0:
            raise ValueError(f"{name!r} must be above 0, not {number:g}")
    return found


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name!r} must be a text")
    return value


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name!r} must be a whole number of at least 1")
    return value
