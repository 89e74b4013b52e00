"""The constants of matching that are fitted, not chosen: one JSON file, made by ``copytrace.train.bundles.matching``.

::

    format      1
    penalties   {"whole": 0, "turn": ..., "region": ...}    taken from the similarity of a view for its kind
    views       weights of the probability from similarity alone
    verify      weights of the probability after the second look
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MatchError
from .probability import PairModel

FORMAT = 1
KINDS = ("whole", "turn", "region")


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
            table: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
            if table["format"] != FORMAT:
                raise ValueError(f"its format is {table['format']}, this engine reads {FORMAT}")
            penalties = {kind: float(table["penalties"][kind]) for kind in KINDS}
            if not all(math.isfinite(penalty) and penalty >= 0 for penalty in penalties.values()):
                raise ValueError("penalties must be finite and not negative")
            return cls(penalties, *(PairModel.from_json(json.dumps(table[name])) for name in ("views", "verify")))
        except OSError as error:
            raise MatchError(f"{path}: {error.strerror}") from None
        except (ValueError, TypeError, KeyError) as error:
            raise MatchError(f"{path}: not the constants of matching: {error}") from None
