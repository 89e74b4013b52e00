"""Metadata beside images: WebDataset's JSON in a tar, and which of its images each belongs to.

In a tar that has ``a.jpg`` and ``a.json`` the second is the metadata of the first. What is read must be one JSON object, by
``strict_json``, so that it means the same to everyone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from ..strict_json import parse_json
from .entry import Entry, Sidecar, image_id, shown
from .files import read_at
from .source import Metadata

BESIDE = "JSON beside an image"
"""The kind by which such files are counted among those that are no images."""
LARGEST = 1 << 20
"""Bytes of one image's metadata, half a million of which a collection must be able to read."""
_MISSING = Sidecar("", problem="no JSON beside it, as other images of its tar have")


class Sidecars:
    """The JSON files of one tar."""

    def __init__(self) -> None:
        self._found: dict[str, Sidecar] = {}

    def add(self, sidecar: Sidecar) -> bool:
        """Whether it is the first of its name. Of two neither is of use: nothing says which counts."""
        stem = _stem(sidecar.name)
        is_first = stem not in self._found
        if not is_first:
            sidecar = replace(sidecar, problem=f"{shown(sidecar.name)} is there twice")
        self._found[stem] = sidecar
        return is_first

    def __iter__(self) -> Iterator[Sidecar]:
        return iter(self._found.values())

    def of(self, image: str) -> Sidecar | None:
        """Of the image a.1.jpg it is a.1.json, or a.json, which has its key in WebDataset's sense."""
        return self._found.get(_stem(image)) or self._found.get(image_id(image, "key"))

    def beside(self, entries: Iterable[Entry], inside: int) -> list[Entry]:
        """Images with what is beside them, or that it is missing. inside: how much of their names is not the tar's."""
        return [replace(entry, sidecar=self.of(entry.name[inside:]) or _MISSING) for entry in entries]


def is_sidecar(name: str) -> bool:
    return name.lower().endswith(".json")


def read_sidecar(descriptor: int, sidecar: Sidecar) -> Metadata:
    """Raises: OSError without an ``errno`` that names the JSON file and says what is wrong with it."""
    if sidecar.problem is not None:
        raise OSError(sidecar.problem)
    name = shown(sidecar.name)
    check_size(sidecar.size, name)
    data = read_at(descriptor, sidecar.offset, sidecar.size)
    if len(data) < sidecar.size:
        raise OSError(f"{name}: the tar ends inside it")
    return parse_metadata(data, name)


def check_size(size: int, name: str) -> None:
    """Raises: OSError."""
    if size > LARGEST:
        raise OSError(f"{name}: {size} bytes exceed the limit of {LARGEST} for the metadata of one image")


def parse_metadata(data: bytes, name: str) -> Metadata:
    """The JSON object in UTF-8 that ``data`` are; name: what they are called. Raises: OSError."""
    check_size(len(data), name)
    try:
        value = parse_json(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise OSError(f"{name}: not UTF-8 text") from None
    except ValueError as error:
        raise OSError(f"{name}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise OSError(f"{name}: its JSON is no object")
    return value


def _stem(name: str) -> str:
    """Without the last extension, and as short as the same path can be written."""
    path = PurePosixPath(name)
    return str(path.with_name(path.stem)) if path.stem else str(path)
