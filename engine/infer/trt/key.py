"""What an engine was built from and for: two engines with one key can stand for each other."""

from dataclasses import dataclass

from ...manifest import NetworkFile
from .library import Library


@dataclass(frozen=True, slots=True)
class Profile:
    """Batches that an engine takes, and the one it is made for."""

    least: int
    best: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}.{self.best}.{self.most}"


@dataclass(frozen=True, slots=True)
class EngineKey:
    """network: sha256 of the ONNX file. compute_capability: of the card, as "9.0"."""

    network: str
    precision: str
    profile: Profile
    tensorrt: str
    compute_capability: str

    @classmethod
    def of(cls, file: NetworkFile, profile: Profile, library: Library, compute_capability: str) -> "EngineKey":
        sha256 = file.entry.precisions[file.precision].sha256
        return cls(sha256, file.precision, profile, f"{library.name}-{library.version}", compute_capability)

    @property
    def name(self) -> str:
        """Of the engine's file."""
        capability = self.compute_capability.replace(".", "")
        return f"{self.network[:16]}-{self.precision}-{self.profile}-{self.tensorrt}-sm{capability}.engine"

    @property
    def timing_name(self) -> str:
        """Of the file with what the builder measured, which all networks share."""
        return f"{self.tensorrt}-sm{self.compute_capability.replace('.', '')}.timing"
