"""Fields of a dataclass that are options of a command too: declared once, with their help and their bounds."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from copytrace.engine import CopytraceError

_KEY = "option"


@dataclass(frozen=True, slots=True)
class Option:
    """What the command line says of a field.

    help: one sentence. least, most: bounds, both inclusive; None: none. flags: of a truth value, such as "--frozen/--whole".
    decided: where nothing is given the command decides, and this says by what; the field's default is then for Python alone.
    """

    help: str
    least: float | None = None
    most: float | None = None
    flags: str | None = None
    decided: str = ""


def option(default: Any, help: str, **more: Any) -> Any:
    """A field with this default, and what :class:`Option` says of it."""
    return field(default=default, metadata={_KEY: Option(help, **more)})


def options_of(settings: Any) -> Iterator[tuple[str, Any, Option]]:
    """Name, default and option of each field of a dataclass or of an instance of it."""
    return ((one.name, one.default, one.metadata[_KEY]) for one in fields(settings) if _KEY in one.metadata)


def check_bounds(settings: Any) -> None:
    """Raises: CopytraceError for a value beyond its bounds, NaN among them."""
    for name, _, what in options_of(settings):
        value = getattr(settings, name)
        if isinstance(value, int | float) and not _within(value, what):
            bounds = ((what.least, "at least"), (what.most, "at most"))
            allowed = " and ".join(f"{word} {bound:g}" for bound, word in bounds if bound is not None)
            raise CopytraceError(f"--{name.replace('_', '-')} must be {allowed or 'a number'}, not {value}")


def _within(value: float, what: Option) -> bool:
    if value != value:
        return False
    return (what.least is None or value >= what.least) and (what.most is None or value <= what.most)
