"""The numbers of the day, counted in memory: they begin anew at midnight (UTC) and when the service starts."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Lock

from .forms import MatchedImage


class Today:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._started = datetime.now(UTC)
        self._day = self._started.date()
        self._numbers: Counter[str] = Counter()

    def count(self, name: str, number: int = 1) -> None:
        with self._lock:
            self._turn()
            self._numbers[name] += number

    def count_matched(self, items: Sequence[MatchedImage]) -> None:
        """Count images that were answered, each by the verdict on its best match."""
        for item in items:
            verdicts = {match.verdict for match in item.matches}
            best = next((one for one in ("match", "review") if one in verdicts), "no_match")
            self.count("errors" if item.error else best)

    def numbers(self) -> tuple[str, dict[str, int]]:
        """Since when they were counted, UTC, ISO 8601, and the numbers by name; what never happened is 0."""
        with self._lock:
            self._turn()
            midnight = datetime.combine(self._day, datetime.min.time(), UTC)
            return max(midnight, self._started).isoformat(timespec="milliseconds"), Counter(self._numbers)

    def _turn(self) -> None:
        today = datetime.now(UTC).date()
        if today != self._day:
            self._day = today
            self._numbers.clear()
