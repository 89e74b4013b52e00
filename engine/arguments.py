"""Arguments of the Python API: a wrong one is a ValueError, one of a wrong type a TypeError, and both name what is allowed.

numpy's text and numbers count as text and numbers; True and False are no numbers.
"""

import math
import os
from numbers import Integral, Real
from pathlib import Path

MAX_THREADS = 1024
MAX_BATCH = 4096


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raises: ValueError, TypeError unless ``value`` is one of the texts that are allowed."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(allowed)}, not {_shown(value)}")
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def whole_number(name: str, value: object, least: int, most: int | None = None) -> int:
    """``value`` as an int. Raises: ValueError, TypeError unless it is one from ``least`` to ``most``."""
    allowed = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {allowed}, not {_shown(value)}")
    whole = int(value)
    if whole < least or (most is not None and whole > most):
        raise ValueError(f"{name} must be {allowed}, not {whole}")
    return whole


def number(name: str, value: object, least: float) -> float:
    """``value`` as a float. Raises: ValueError, TypeError unless it is a number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number of at least {least:g}, not {_shown(value)}")
    try:
        real = float(value)
    except OverflowError:  # a whole number beyond any float
        real = math.inf if isinstance(value, int) and value > 0 else -math.inf
    if math.isnan(real) or real < least:
        raise ValueError(f"{name} must be a number of at least {least:g}, not {value}")
    return real


def flag(name: str, value: object) -> None:
    """Raises: TypeError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {_shown(value)}")


def file_path(name: str, value: object) -> Path:
    """``value`` as a path. Raises: ValueError, TypeError unless it is text or a path object, and names something."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a path (text or os.PathLike), not {_shown(value)}")
    if not can_be_path(text):
        raise ValueError(f"{name} must be the path of a file or folder, not {text!r}")
    return Path(text)


def can_be_path(text: str) -> bool:
    """Whether the system lets any file be called so: not where it is empty, holds NUL, or half a surrogate pair."""
    try:
        return bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _shown(value: object) -> str:
    return repr(value) if value is None or isinstance(value, bool | int | float) else type(value).__name__
