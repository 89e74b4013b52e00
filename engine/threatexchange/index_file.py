"""The file of an index.

::

    CTINDEX1, sha256 of the descriptor space, dimension (uint32), signals (uint64), bytes of the values (uint64)
    descriptors, float32 [N, D], in the order of adding
    values, a JSON array in UTF-8 (see ``metadata``)
    sha256 of all before it

Numbers are little-endian. Nothing in it is ever unpickled.
"""

import hashlib
import json
import struct
from collections.abc import Iterable
from itertools import chain
from typing import Any, BinaryIO

import numpy as np

from ..errors import SignalError
from ..signals import Float32, Signals
from .metadata import from_json, to_json

_HEADER = struct.Struct("<8s32sIQQ")
_MAGIC = b"CTINDEX1"
_CHUNK = 1 << 20
_LARGEST = 2.0  # no number of a descriptor is, since its length is 1


class IndexFile:
    """Writes and reads the indexes of one bundle's signals."""

    def __init__(self, signals: Signals) -> None:
        self._space = bytes.fromhex(signals.space)
        self._dimension = signals.dimension

    def write(self, fout: BinaryIO, rows: Iterable[Float32], values: list[Any]) -> None:
        """rows: blocks float32 [n, D], in all one row for each value. Raises: SignalError for values that cannot be kept."""
        try:
            text = json.dumps([to_json(value) for value in values], ensure_ascii=False).encode()
        except (RecursionError, UnicodeEncodeError) as error:
            raise SignalError(f"an index cannot keep such a value: {error}") from None
        header = _HEADER.pack(_MAGIC, self._space, self._dimension, len(values), len(text))
        digest = hashlib.sha256()
        for part in chain([header], (block.astype("<f4").tobytes() for block in rows), [text]):
            digest.update(part)
            fout.write(part)
        fout.write(digest.digest())

    def read(self, fin: BinaryIO) -> tuple[Float32, list[Any]]:
        """Descriptors float32 [N, D], and the value of each. Raises: SignalError for a foreign, damaged or cut-off file."""
        header = _exactly(fin, _HEADER.size)
        magic, space, dimension, count, length = _HEADER.unpack(header)
        if magic != _MAGIC:
            raise SignalError("not an index of copytrace signals")
        if (space, dimension) != (self._space, self._dimension):
            raise SignalError("an index of another bundle's signals; build it again")
        data, text = _exactly(fin, 4 * dimension * count), _exactly(fin, length)
        digest = hashlib.sha256(header)
        digest.update(data)
        digest.update(text)
        if _exactly(fin, digest.digest_size) != digest.digest() or fin.read(1):
            raise _damaged()
        rows, values = np.frombuffer(data, "<f4").reshape(count, dimension).astype(np.float32), _values(text)
        if len(values) != count or not (np.abs(rows) <= _LARGEST).all():
            raise _damaged()
        return rows, values


def _values(text: bytes) -> list[Any]:
    """Raises: SignalError."""
    try:
        return [from_json(value) for value in json.loads(text)]
    except SignalError:
        raise
    except (ValueError, TypeError, RecursionError):
        raise _damaged() from None


def _damaged() -> SignalError:
    return SignalError("the index is damaged; build it again")


def _exactly(fin: BinaryIO, size: int) -> bytes:
    """The next bytes, read piece by piece: a damaged length must not ask for more memory than there are bytes.

    Raises: SignalError when there are fewer.
    """
    parts: list[bytes] = []
    while size and (part := fin.read(min(size, _CHUNK))):
        parts.append(part)
        size -= len(part)
    if size:
        raise SignalError("not an index of copytrace signals, or one that is cut off")
    return b"".join(parts)
