"""What a search found: pairs with the ids that their row numbers stand for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import optional_module
from .score import ScoredPairs
from .search import Pairs
from .store import Descriptors

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Pairs by row number, best first, with the ids of all rows searched.

    ``len`` counts the pairs; iteration gives (query id, reference id, score). origin: where the descriptors come from, as
    :func:`origin` tells. views: for every pair the labels of the query's and the reference's row that it owes its score to,
    where images have several; None where each has one. device: who proposed the pairs, "cpu" or "cuda".
    """

    pairs: Pairs
    query_ids: list[str]
    reference_ids: list[str]
    origin: Mapping[str, str] = field(default_factory=dict)
    views: list[tuple[str, str]] | None = None
    device: str = "cpu"

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[tuple[str, str, float]]:
        return zip(self.queries(), self.references(), self.pairs.scores.tolist(), strict=True)

    def queries(self) -> list[str]:
        """The query's id of every pair."""
        return [self.query_ids[i] for i in self.pairs.queries.tolist()]

    def references(self) -> list[str]:
        """The reference's id of every pair."""
        return [self.reference_ids[i] for i in self.pairs.references.tolist()]

    def scored(self) -> ScoredPairs:
        """The pairs as a table that can be evaluated."""
        return ScoredPairs(self.queries(), self.references(), self.pairs.scores)

    def to_pandas(self) -> "DataFrame":
        """A pandas DataFrame with the columns query_id, reference_id (text) and score (float64), best first.

        Raises: MissingExtraError.
        """
        pandas = optional_module("pandas", "pandas")
        columns = {"query_id": self.queries(), "reference_id": self.references(), "score": self.pairs.scores}
        frame: DataFrame = pandas.DataFrame(columns)
        return frame


def origin(*files: Descriptors) -> dict[str, str]:
    """What files and collections say about how they were made: bundle, precision, descriptors, each only where it is known.

    Values that differ between the files stand beside each other.
    """

    def all_of(name: str, length: int | None = None) -> str:
        values = [str(file.attributes[name])[:length] for file in files if name in file.attributes]
        return ", ".join(dict.fromkeys(value for value in values if value))

    name, digest = all_of("bundle_name"), all_of("recipe", 12) or all_of("bundle", 12)
    bundle = f"{name} ({digest})" if name and digest else name or digest
    known = {"bundle": bundle, "precision": all_of("precision"), "descriptors": all_of("output")}
    return {key: value for key, value in known.items() if value}
