"""A batch that fails as a whole, done again in halves, so that a file costs no neighbour its decoder."""

import logging
from collections.abc import Callable, Sequence

from .checked import CheckedJpeg
from .graph import FAILURES, first_line
from .protocol import Squares

log = logging.getLogger(__name__)

Decode = Callable[[Sequence[CheckedJpeg]], list[Squares | None]]


def halved(decode: Decode, files: Sequence[CheckedJpeg], library: str) -> list[Squares | None]:
    """What ``decode`` gives; where it raises one of ``FAILURES``, that of each half, and so on; None for what fails by itself.

    The CPU's pixels are others by fractions of a grey level: a file that its neighbour sent there would get another descriptor.
    library: for the warning, one for all that failed.
    """
    errors: list[Exception] = []

    def part(some: Sequence[CheckedJpeg]) -> list[Squares | None]:
        try:
            return decode(some)
        except FAILURES as error:
            if len(some) == 1:
                errors.append(error)
                return [None]
        half = len(some) // 2
        return [*part(some[:half]), *part(some[half:])]

    done = part(files)
    if errors:
        log.warning("%s failed, the CPU decodes %d images instead: %s", library, len(errors), first_line(errors[0]))
    return done
