"""Descriptors as text: the signals that trust-and-safety systems (ThreatExchange, HMA) keep, exchange and compare.

A signal is the base64 of ``ct1``, the first 8 bytes of the descriptor space's sha256, and the descriptor as it is kept of a
reference, float32 little-endian [D]. So it names the space in which it can be compared, and is refused in any other.
"""

import base64
import binascii
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle
from .errors import BundleError, SignalError
from .search import Index

Float32 = NDArray[np.float32]

MAGIC = b"ct1"
_SPACE_BYTES = 8
_LONGEST_SHOWN = 40
_UNIT = 1e-3
"""How far the length of a descriptor may be from 1: more than any rounding, less than a changed letter does."""
_BANK_ROWS = 2500
_UNLIKELY = 0.01


class Signals:
    """The signals of one bundle. Safe to use from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        self.space = bundle.space
        self.dimension = bundle.projection.components.shape[0]
        self._bank = bundle.bank
        self._head = MAGIC + bytes.fromhex(self.space)[:_SPACE_BYTES]

    @cached_property
    def max_distance(self) -> float:
        """The Euclidean distance up to which two signals match, rounded to 3 digits; 0.648 for the package's bundle.

        The bank holds training photographs that are no copies of each other: 1 of 100 of them has another one of 2,500 this
        near. Measured on held-back photographs with the package's bundle: of 100 each, re-encoded (quality 60), at half the
        size, brightened, or cropped to 80 % of each side all are this near, mirrored 96; of 500 often heavily edited copies
        30 %; of 500 that are copies of nothing 2 are to one of 1,500 references.
        Raises: BundleError when the bank is too small to tell.
        """
        count = len(self._bank)
        if count < 2:
            raise BundleError("the bundle's bank has fewer than 2 rows, too few to tell which distances are a match")
        places = np.linspace(0, count - 1, min(count, _BANK_ROWS)).astype(np.int64)
        rows = np.ascontiguousarray(self._bank[places])
        index = Index(self.dimension)
        index.add([str(place) for place in range(len(rows))], rows)
        pairs = index.nearest(rows, 2)
        others = np.array(pairs.references, np.int64) != pairs.queries
        nearest = np.full(len(rows), np.inf)
        np.minimum.at(nearest, pairs.queries[others], pairs.distances[others])
        return round(float(np.sqrt(np.quantile(nearest, _UNLIKELY))), 3)

    def encode(self, row: Float32) -> str:
        """A descriptor float32 [D] -> its signal; "" for zeros, as of an image in which the networks see nothing."""
        if not row.any():
            return ""
        return base64.b64encode(self._head + row.astype("<f4").tobytes()).decode()

    def decode(self, text: str) -> Float32:
        """A signal -> the descriptor float32 [D] of unit length.

        White space around it is left aside, one within it is a plus that was not escaped in a URL; the letters - and _ of the
        other base64 are taken as well. Raises: SignalError for anything but a signal of this bundle.
        """
        data = _decoded(text)
        size = len(self._head) + 4 * self.dimension
        if not data.startswith(MAGIC):
            raise SignalError(f"not a copytrace signal: {_shown(text)}")
        if data[: len(self._head)] != self._head[: len(data)]:
            theirs, ours = (part[len(MAGIC) : len(self._head)].hex() for part in (data, self._head))
            raise SignalError(f"a signal of another bundle: its descriptor space is {theirs}, this one's is {ours}")
        if len(data) != size:
            raise SignalError(f"not a copytrace signal: it has {len(data)} bytes, not {size}")
        row = np.frombuffer(data, "<f4", offset=len(self._head)).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            length = float(np.linalg.norm(row.astype(np.float64)))
        if not abs(length - 1.0) <= _UNIT:
            raise SignalError("not a copytrace signal: its numbers are not a descriptor")
        return row

    def normalised(self, text: str) -> str:
        """A signal in the one form that ``encode`` gives. Raises: SignalError."""
        return self.encode(self.decode(text))

    def distance(self, first: Float32, second: Float32) -> float:
        """The Euclidean distance of two descriptors float32 [D], to the last bit the one that a search finds."""
        index = Index(self.dimension, threads=1)
        index.add(["second"], second[None])
        return float(np.sqrt(index.nearest(first[None], 1).distances[0]))


def distance_text(distance: float) -> str:
    """A distance as it is shown: 4 digits behind the point."""
    return f"{distance:.4f}"


def _decoded(text: str) -> bytes:
    """Raises: SignalError for what is not base64."""
    if not isinstance(text, str):
        raise SignalError(f"a signal must be text, not {type(text).__name__}")
    letters = text.strip().replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    if not letters:
        raise SignalError("empty signal")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise SignalError(f"not a copytrace signal: {_shown(text)} is not base64") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "...")
