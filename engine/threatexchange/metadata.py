"""What goes with a signal in an index, as JSON: plain values, containers, and the dataclasses of ThreatExchange's opinions.

Nothing is run and nothing imported that the JSON names: a dataclass is one that the process has loaded already, and it gets its
fields without its own code.
"""

import json
import sys
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from ..errors import SignalError

_PLAIN = (type(None), bool, int, float, str)


def to_json(value: object) -> Any:
    """Raises: SignalError for a value that cannot be kept."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, Enum):
        return {"enum": _name(kind), "value": to_json(value.value)}
    if is_dataclass(value) and not isinstance(value, type):
        there = [field.name for field in fields(value) if hasattr(value, field.name)]
        return {"dataclass": _name(kind), "fields": {name: to_json(getattr(value, name)) for name in there}}
    if kind is dict:
        return {"dict": [[to_json(key), to_json(item)] for key, item in value.items()]}  # type: ignore[attr-defined]
    if kind is list:
        return [to_json(item) for item in value]  # type: ignore[attr-defined]
    if kind is tuple:
        return {"tuple": [to_json(item) for item in value]}  # type: ignore[attr-defined]
    for name, container in (("set", set), ("frozenset", frozenset)):
        if kind is container:  # equal sets come in different orders
            return {name: sorted((to_json(item) for item in value), key=json.dumps)}  # type: ignore[attr-defined]
    raise SignalError(
        f"an index keeps JSON values and ThreatExchange's metadata, not {kind.__module__}.{kind.__qualname__}"
    )


def from_json(value: Any) -> Any:
    """The inverse of ``to_json``. Raises: SignalError."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    try:
        match value:
            case {"tuple": items}:
                return tuple(from_json(items))
            case {"set": items}:
                return set(from_json(items))
            case {"frozenset": items}:
                return frozenset(from_json(items))
            case {"dict": items}:
                return {from_json(key): from_json(item) for key, item in items}
            case {"enum": name, "value": number}:
                return _loaded(name, Enum)(from_json(number))
            case {"dataclass": name, "fields": dict(values)}:
                return _filled(_loaded(name, object), values)
    except (TypeError, ValueError, AttributeError) as error:
        raise SignalError(f"metadata that cannot be read: {error}") from None
    raise SignalError("metadata that cannot be read: an object of an unknown kind")


def _filled(kind: type, values: dict[str, Any]) -> object:
    """Raises: SignalError unless the kind is a dataclass that has these fields."""
    names = {field.name for field in fields(kind)} if is_dataclass(kind) else set()
    if not values.keys() <= names or not is_dataclass(kind):
        raise SignalError(f"metadata that cannot be read: {kind.__qualname__} is another class than it was")
    made = object.__new__(kind)
    for name, item in values.items():
        object.__setattr__(made, name, from_json(item))
    return made


def _name(kind: type) -> str:
    """Raises: SignalError for a class that could not be found again."""
    name = f"{kind.__module__}:{kind.__qualname__}"
    if _find(name) is not kind:
        raise SignalError(f"an index cannot keep {name}, which is not found under its name")
    return name


def _loaded(name: object, base: type) -> Any:
    """Raises: SignalError."""
    found = _find(name) if isinstance(name, str) else None
    if not isinstance(found, type) or not issubclass(found, base):
        raise SignalError(f"metadata that cannot be read: its class {name} is not loaded; is an extension missing?")
    return found


def _find(name: str) -> object:
    module, _, path = name.partition(":")
    found: object = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found
