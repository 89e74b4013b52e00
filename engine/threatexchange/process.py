"""The one bundle whose signals this process makes and compares; opened when it is first needed."""

import os
from functools import cache

from ..api import Engine
from ..bundle import DEFAULT_BUNDLE, Bundle
from ..signals import Signals

VARIABLE = "COPYTRACE_BUNDLE"


def signals() -> Signals:
    """Raises: BundleError."""
    return _signals(_path())


def engine() -> Engine:
    """Raises: BundleError, MissingExtraError."""
    return _engine(_path())


def _path() -> str:
    return os.environ.get(VARIABLE) or str(DEFAULT_BUNDLE)


@cache
def _signals(path: str) -> Signals:
    return Signals(Bundle(path))


@cache
def _engine(path: str) -> Engine:
    return Engine(path)
