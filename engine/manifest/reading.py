"""From ``manifest.json`` to its model. Whatever is wrong with it is one line."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ..errors import BundleError
from ..strict_json import parse_json
from .format_1 import Manifest1
from .model import FORMAT, MANIFEST, Entry, Manifest

Model = TypeVar("Model", bound=Entry)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle, of format 2 or converted from format 1.

    Raises: BundleError in one line.
    """
    raw = _read_json(folder)
    file, version = folder / MANIFEST, raw.get("format")
    if type(version) is not int or version < 1:
        raise BundleError(f"{file}: no format number")
    if version > FORMAT:
        raise BundleError(f"{file}: format {version} is newer than this copytrace reads ({FORMAT}); update copytrace")
    if version == 1:
        raw = _checked(Manifest1, raw, file).converted()
    return check_manifest(raw, file)


def check_manifest(raw: dict[str, Any], file: Path) -> Manifest:
    """A manifest of format 2 from its JSON values. file: named in errors. Raises: BundleError in one line."""
    return _checked(Manifest, raw, file)


def _checked(model: type[Model], raw: dict[str, Any], file: Path) -> Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first, more = error.errors(include_url=False)[0], error.error_count() - 1
        place = ".".join(str(part) for part in first["loc"][:6])
        text = first["msg"].removeprefix("Value error, ")
        others = f" (and {more} more)" if more else ""
        raise BundleError(f"{file}: {place}{': ' if place else ''}{text}{others}") from None


def _read_json(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    try:
        raw = parse_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{folder}: not a bundle: cannot read {MANIFEST}: {error.strerror}") from None
    except ValueError as error:
        raise BundleError(f"{file}: not valid JSON: {error}") from None
    if not isinstance(raw, dict):
        raise BundleError(f"{file}: no format number")
    return raw
