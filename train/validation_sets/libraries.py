"""The libraries that the wide set is made with, imported where they are used."""

import os
from types import ModuleType

from copytrace.engine.errors import optional_module

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for newer versions of itself otherwise


def library(name: str) -> ModuleType:
    """Import it, or say what is missing. Raises: MissingExtraError."""
    return optional_module(name, "validation")
