"""The collection's two thresholds, from which on a pair is a match or is to be reviewed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..errors import CollectionError
from .audit import AuditEntry
from .open_catalogue import OpenCatalogue
from .reading import PathLike

Verdict = Literal["match", "review", "no match"]
PROPERTY = "thresholds"
"""The collection's property that holds them: {"match": probability, "review": probability}."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities from which on a pair is a match, or is to be reviewed."""

    match: float = 0.9
    review: float = 0.5

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> "Thresholds":
        """Raises: CollectionError for values that are none."""
        given = properties.get(PROPERTY, {})
        try:
            found = cls(**{name: float(value) for name, value in dict(given).items()})
        except (TypeError, ValueError):
            raise CollectionError(f"the collection's thresholds must be match and review, not {given!r}") from None
        return found.checked()

    def checked(self) -> "Thresholds":
        """Raises: CollectionError unless 0 <= review <= match <= 1."""
        if not 0.0 <= self.review <= self.match <= 1.0:
            raise CollectionError(
                f"thresholds must be 0 <= review <= match <= 1, not {self.review!r} and {self.match!r}"
            )
        return self

    def verdict(self, probability: float) -> Verdict:
        if probability >= self.match:
            return "match"
        return "review" if probability >= self.review else "no match"


class StoredThresholds(OpenCatalogue):
    """Those of one collection, whoever sets them, also while it is served."""

    def __init__(self, path: PathLike) -> None:
        super().__init__(path)
        self._version = -1
        self._known = Thresholds()
        self.current()

    def current(self) -> Thresholds:
        """As they are now; those before while they are being set, for which nobody waits.

        Raises: CollectionError for what is damaged.
        """
        if self._guard.acquire(blocking=False):
            try:
                version = self.version()
                if version != self._version:
                    with self._reading():
                        self._known = Thresholds.of(self._catalogue.properties(PROPERTY))
                    self._version = version
            finally:
                self._guard.release()
        return self._known

    def set(self, values: Thresholds, who: str) -> None:
        """Raises: CollectionError when they cannot be, or nothing can be written."""
        given = asdict(values.checked())
        with self._changing(AuditEntry(who, "thresholds", given)):
            self._catalogue.set_properties({PROPERTY: given})
        with self._guard:
            self._known = values
