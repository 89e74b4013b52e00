"""Near-duplicates within one source: found, grouped, the best picture of each group kept, written and shown."""

from .find import DEFAULT_MAX_DISTANCE, find_duplicates, opened
from .groups import Duplicate, Duplicates
from .save import save_duplicates, save_duplicates_report

__all__ = [
    "DEFAULT_MAX_DISTANCE",
    "Duplicate",
    "Duplicates",
    "find_duplicates",
    "opened",
    "save_duplicates",
    "save_duplicates_report",
]
