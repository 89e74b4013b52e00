"""What is to be planned: how many images, and on how many machines or in how many hours."""

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from ..errors import PlanError

MOST = 10**12
"""References, queries or pairs; a plan for more would be of no world there is."""
MOST_HOURS, MOST_MACHINES, MOST_IMAGE_BYTES = 1e6, 10**6, 10**12
PAIRS = 500_000  # as search does


@dataclass(frozen=True, slots=True)
class Task:
    """references, queries: images. pairs: the best ones that the search returns. image_bytes: mean size of an encoded image,
    None for that of the images measured with. Raises: PlanError for numbers that cannot be."""

    references: int
    queries: int
    pairs: int = PAIRS
    image_bytes: float | None = None

    def __post_init__(self) -> None:
        for name in ("references", "queries", "pairs"):
            _check_whole(name, getattr(self, name), MOST)
        if self.image_bytes is not None:
            _check(f"bytes of an image from 1 to {MOST_IMAGE_BYTES:g}", self.image_bytes, 1, MOST_IMAGE_BYTES)

    @property
    def found(self) -> int:
        """Pairs there will be: no more than there are at all."""
        return min(self.pairs, self.references * self.queries)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Machines like the one measured: so many, or as many as it takes in ``hours``. gpus: machines with a graphics card each,
    like the one measured. Raises: PlanError for numbers that cannot be, and for both kinds of machine."""

    machines: int | None = None
    hours: float | None = None
    gpus: int | None = None

    def __post_init__(self) -> None:
        if self.machines is not None and self.gpus is not None:
            raise PlanError("give machines or gpus: with gpus a machine is one with a graphics card")
        for name in ("machines", "gpus"):
            if (value := getattr(self, name)) is not None:
                _check_whole(name, value, MOST_MACHINES)
        if self.hours is not None:
            _check(f"hours above 0, up to {MOST_HOURS:g}", self.hours, 1e-3, MOST_HOURS)

    @property
    def size(self) -> int:
        """Machines there are; one where nothing is said."""
        return self.gpus or self.machines or 1

    def needed(self, seconds: float) -> int:
        """Machines for work of so many seconds of one: by the hours where they are given, else those there are."""
        if self.hours is None:
            return self.size
        return max(1, math.ceil(seconds / (3600 * self.hours)))


def count(text: str) -> int:
    """A whole number as people write it: 1000000, 1e9 or 2.5e8. Raises: PlanError for anything else."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise PlanError(f"a number such as 1000000 or 1e9 is wanted, not {text!r}") from None
    if not value.is_finite() or not 0 < value <= MOST:
        raise PlanError(f"a number from 1 to {MOST:g} is wanted, not {text}")
    if value != value.to_integral_value():
        raise PlanError(f"a whole number is wanted, not {text}")
    return int(value)


def _check_whole(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise PlanError(f"{name} must be a whole number from 1 to {most:g}, not {value}")


def _check(what: str, value: float, least: float, most: float) -> None:
    if isinstance(value, bool) or not least <= value <= most:  # NaN is not
        raise PlanError(f"there must be {what}, not {value}")
