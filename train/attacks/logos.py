"""Logos as stamps: a few shapes inside each other in plain colours, some with a name."""

import numpy as np

from .draw import Draw
from .stamps import Stamp, lay, polygon
from .writing import phrase, text_mask


def logo_stamp(draw: Draw, size: int) -> Stamp:
    """One to three shapes inside each other, or rings, in plain colours; some with a name beside them."""
    side = max(8, size)
    colour, mask = np.full((side, side, 3), draw.colour(), np.uint8), polygon(draw, side)
    inner = side
    for _ in range(int(draw.rng.integers(0, 3))):
        inner = max(4, int(inner * draw.rng.uniform(0.4, 0.8)))
        lay(
            colour,
            Stamp(np.full((inner, inner, 3), draw.colour(), np.uint8), polygon(draw, inner).astype(np.float32) / 255),
            (side - inner) // 2,
            (side - inner) // 2,
        )
    stamp = Stamp(colour, mask.astype(np.float32) / 255)
    if draw.rng.random() < 0.5:
        return stamp
    name = text_mask(draw, phrase(draw, 1), max(6, side // 2))
    ink = np.full((side, name.shape[1], 3), draw.colour(), np.uint8)
    beside = np.zeros((side, name.shape[1]), np.float32)
    rows = min(side, name.shape[0])
    beside[(side - rows) // 2 : (side - rows) // 2 + rows] = name[:rows].astype(np.float32) / 255
    return Stamp(np.concatenate([colour, ink], axis=1), np.concatenate([stamp.mask, beside], axis=1))
