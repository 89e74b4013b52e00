"""The checksum of a descriptor file: HDF5 itself notices no changed byte in rows, ids or attributes."""

import json
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


class Checksum:
    """crc32 over ids and rows, in whatever pieces they come, and then over all that a file says besides."""

    def __init__(self) -> None:
        self._ids = self._rows = self._count = 0

    def add(self, ids: Sequence[str], rows: NDArray[np.float32]) -> None:
        """The next ids and their rows [n, D]."""
        self._ids = zlib.crc32(b"".join(name.encode() + b"\0" for name in ids), self._ids)
        self._rows = zlib.crc32(np.ascontiguousarray(rows, np.float32).data, self._rows)
        self._count += len(ids)

    def of_all(self, lists: Mapping[str, Sequence[tuple[str, str]]], attributes: Mapping[str, object]) -> str:
        """Eight hexadecimal digits, over the ids and rows added, lists of (id, reason) and attributes."""
        plain = {name: str(value) for name, value in attributes.items()}
        pairs = {name: [list(pair) for pair in pairs] for name, pairs in lists.items()}
        text = json.dumps([self._count, self._ids, self._rows, pairs, plain], sort_keys=True)
        return f"{zlib.crc32(text.encode()):08x}"
