"""JSON of files that answers depend on, read strictly: what could be taken in two ways is refused."""

import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn

MOST = 1e9


def parse_json(text: str) -> Any:
    """Standard JSON only: no NaN, no key twice, no number that a float cannot hold, no half of a surrogate pair.

    Raises: ValueError.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_not_json,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_without_duplicates,
        )
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def read_object(text: str, version: int, *names: str) -> dict[str, Any]:
    """A JSON object with ``"format": version`` and just these names beside it. Raises: ValueError."""
    table = parse_json(text)
    if not isinstance(table, dict) or type(table.get("format")) is not int:
        raise ValueError("no format number")
    if table["format"] != version:
        raise ValueError(f"its format is {table['format']}, this engine reads {version}")
    if table.keys() != {"format", *names}:
        raise ValueError(f"it must hold {', '.join(names)}, not {', '.join(sorted(table.keys() - {'format'}))}")
    return table


def numbers(value: Any, names: Sequence[str]) -> list[float]:
    """The numbers of a JSON object that holds one under each of the names, and nothing else.

    Raises: ValueError, also for one beyond MOST, which no constant comes near: sums would leave the range of floats.
    """
    if not isinstance(value, dict) or value.keys() != set(names):
        raise ValueError(f"there must be numbers named {', '.join(names)}")
    for name in names:
        if isinstance(value[name], bool) or not isinstance(value[name], int | float):
            raise ValueError(f"{name!r} must be a number")
        if abs(value[name]) > MOST:
            raise ValueError(f"{name!r} must be a number from -{MOST:g} to {MOST:g}")
    return [float(value[name]) for name in names]


def _not_json(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > 308:
        raise ValueError("a whole number is too large")
    return int(text)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} stands twice")
        result[key] = value
    return result
