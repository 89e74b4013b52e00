"""The constants of matching that are fitted, not chosen: one JSON file, made by ``copytrace.train.bundles.matching``.

::

    format      2
    penalties   {"whole": 0, "turn": ..., "region": ..., "crop": ...}    taken from the similarity of a view for its kind:
                turns and regions are views of queries, crops of references
    views       weights of the probability from similarity alone
    verify      weights of the probability after the second look
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import MatchError
from ..strict_json import numbers, read_object
from .probability import PairModel

FORMAT = 2
KINDS = ("whole", "turn", "region", "crop")


@dataclass(frozen=True, slots=True)
class MatchConstants:
    """penalties: squared distance added to a view of each of ``KINDS``; two models of a pair, without and with the second
    look."""

    penalties: Mapping[str, float]
    views: PairModel
    verify: PairModel

    def save(self, path: Path) -> None:
        models = {name: json.loads(getattr(self, name).to_json()) for name in ("views", "verify")}
        path.write_text(json.dumps({"format": FORMAT, "penalties": dict(self.penalties), **models}, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "MatchConstants":
        """Raises: MatchError."""
        try:
            table = read_object(Path(path).read_text(encoding="utf-8"), FORMAT, "penalties", "views", "verify")
            penalties = dict(zip(KINDS, numbers(table["penalties"], KINDS), strict=True))
            if min(penalties.values()) < 0:
                raise ValueError("penalties must not be negative")
            return cls(penalties, *(PairModel.from_json(json.dumps(table[name])) for name in ("views", "verify")))
        except OSError as error:
            raise MatchError(f"{path}: {error.strerror}") from None
        except ValueError as error:
            raise MatchError(f"{path}: not the constants of matching: {error}") from None
