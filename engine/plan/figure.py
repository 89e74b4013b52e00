"""A number of a plan with the formula it comes from, and how such numbers are written."""

from dataclasses import dataclass
from typing import Literal

_TIMES = ((1e-6, 1e-9, "ns"), (1e-3, 1e-6, "us"), (1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "min"))  # below, unit

Unit = Literal["s", "bytes", "bytes/s", "machines", "images"]


@dataclass(frozen=True, slots=True)
class Figure:
    """``formula`` has the numbers in it: who reads it can compute ``value`` again, up to the rounding of what is shown."""

    name: str
    value: float
    unit: Unit
    formula: str

    @property
    def text(self) -> str:
        """The value as people read it."""
        if self.unit == "s":
            return seconds_text(self.value)
        if self.unit == "bytes":
            return bytes_text(self.value)
        if self.unit == "bytes/s":
            return f"{bytes_text(self.value)}/s"
        return f"{count_text(self.value)} {self.unit if self.value != 1 else self.unit.removesuffix('s')}"


def count_text(value: float) -> str:
    """1,500; 1e9; 2.5e8; 1,234,567 where that is not exact in three digits."""
    if value >= 1e5 and float(f"{value:.3g}") == value:
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.3g}"


def seconds_text(value: float) -> str:
    """In the unit that suits: ns, us, ms, s, minutes, hours; from 100 hours on as a whole number."""
    for limit, size, name in _TIMES:
        if value < limit:
            return f"{value / size:.3g} {name}"
    hours = value / 3600
    return f"{hours:,.0f} h" if hours >= 100 else f"{hours:.3g} h"


def bytes_text(value: float) -> str:
    """In decimal units, as disks are sold: 1.06 TB is 1.06e12 bytes."""
    for power, name in enumerate(("B", "kB", "MB", "GB", "TB", "PB")):
        if value < 999.5 * 1000**power:
            return f"{value / 1000**power:.3g} {name}"
    return f"{value / 1e18:,.3g} EB"
