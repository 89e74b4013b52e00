"""The signal type: a photograph's descriptor as text."""

import logging
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from threatexchange.content_type.content_base import ContentType
from threatexchange.content_type.photo import PhotoContent
from threatexchange.signal_type.signal_base import (
    BytesHasher,
    CanGenerateRandomSignal,
    SignalComparisonResult,
    SimpleSignalType,
)

from ..memory import Picture
from .index import CopytraceIndex, Distance
from .process import engine, signals

log = logging.getLogger(__name__)

PHOTOS = Path(__file__).parent.parent / "photos" / "references"
EXAMPLES = 20


class CopytraceSignal(SimpleSignalType, BytesHasher, CanGenerateRandomSignal):
    """copytrace's descriptor of a photograph, compared by Euclidean distance; see ``copytrace.engine.signals``.

    Two match up to ``Signals.max_distance``, which the bundle decides.
    """

    @classmethod
    def get_content_types(cls) -> list[type[ContentType]]:
        return [PhotoContent]

    @classmethod
    def get_index_cls(cls) -> type[CopytraceIndex[Any]]:
        return CopytraceIndex

    @classmethod
    def validate_signal_str(cls, signal_str: str) -> str:
        """The signal in its usual form. Raises: SignalError, a ValueError, for anything else and for other bundles' signals."""
        return signals().normalised(signal_str)

    @classmethod
    def compare_hash(cls, hash1: str, hash2: str) -> SignalComparisonResult:
        """Raises: SignalError."""
        known = signals()
        distance = known.distance(known.decode(hash1), known.decode(hash2))
        return SignalComparisonResult(distance <= known.max_distance, Distance(distance))

    @classmethod
    def hash_from_bytes(cls, bytes_: bytes) -> str:
        """The signal of an encoded image; "" for what is no image, with the reason in the log."""
        return _hash(bytes_)

    @classmethod
    def hash_from_file(cls, file: Path) -> str:
        """The same of a file. Raises: FileNotFoundError."""
        file.stat()
        return _hash(file)

    @classmethod
    def get_random_signal(cls) -> str:
        """A signal of no image, for tests under load."""
        row = np.random.default_rng().normal(size=signals().dimension)
        return signals().encode(np.asarray(row / np.linalg.norm(row), np.float32))

    @staticmethod
    def get_examples() -> list[str]:
        """Signals of the first 20 reference photographs that come with the package."""
        return list(_examples(signals().space))


def _hash(image: Picture) -> str:
    (found,) = engine().embed_each(image)
    signal = "" if found.row is None else signals().encode(found.row)
    if not signal:
        log.warning(
            "%s has no signal: %s", image if isinstance(image, Path) else "an image", found.reason or "it is blank"
        )
    return signal


@cache
def _examples(space: str) -> tuple[str, ...]:
    return tuple(filter(None, map(_hash, sorted(PHOTOS.glob("*.jpg"))[:EXAMPLES])))
