"""What a run that trains a detector has of a run's settings."""
# option() gives a dataclass's field

from dataclasses import dataclass

from copytrace.engine import CopytraceError

from ..option import check_bounds, option
from ..settings import Settings

STRIDE = 32
OPTIONS = (
    "size",
    "weights",
    "hold_back",
    "steps",
    "batch",
    "learning_rate",
    "warmup",
    "checkpoint_every",
    "seed",
)
"""Settings that are options of ``train detector``; the others are as they always are."""


@dataclass(frozen=True)
class DetectorSettings(Settings):
    """A run's, where a detector has defaults, bounds or words of its own."""

    size: int = option(192, f"Side of the input, pixels; a multiple of {STRIDE}.", least=64, most=512)
    steps: int = option(1500, "Of a batch of scenes each.", least=1)
    batch: int = option(32, "Scenes a step.", least=2)
    warmup: int = option(100, "Steps.", least=0)
    clip: float = 5.0
    power: float = 2.0
    dimension: int = 0

    def check(self, processes: int = 1) -> None:
        """Raises: CopytraceError when one is out of bounds, or there are several processes."""
        check_bounds(self)
        if processes > 1:
            raise CopytraceError("a detector is trained by one process; start it without torchrun")
        if self.size % STRIDE:
            raise CopytraceError(f"--size must be a multiple of {STRIDE}, not {self.size}")
