"""A network of a bundle as the runtimes get it."""

from dataclasses import dataclass
from pathlib import Path

from .model import NetworkEntry, Precision


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """One network in one precision: its file, and what the manifest says of it."""

    path: Path
    entry: NetworkEntry
    precision: Precision

    @property
    def input_size(self) -> int:
        return self.entry.input_size

    @property
    def dimension(self) -> int:
        return self.entry.dimension

    @property
    def batch(self) -> int:
        return self.entry.batch
