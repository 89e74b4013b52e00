"""The review queue behind the service: pairs with the verdict ``review`` go into the collection before they are answered."""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial

from ..collection import Decision, NewReview, Review, Reviews
from ..errors import CopytraceError
from ..match.probability import PairModel
from ..read import thumbnail
from .computing import Computed
from .forms import MatchedImage
from .rejected import Rejected
from .settings import Settings
from .uploads import UploadedImage

log = logging.getLogger(__name__)

THUMBNAIL_PIXELS = 360
MAX_NAME = 255
MOST_UNDER_WAY = 64  # requests whose pairs are being written
WAIT_SECONDS = 1.0

Answered = tuple[UploadedImage, Computed, MatchedImage]


class Reviewing:
    """Writes by a connection and a thread of its own, so that it waits for no import and no compaction."""

    def __init__(self, reviews: Reviews, settings: Settings, model: PairModel) -> None:
        self.reviews = reviews
        self.rejected = Rejected(reviews.rejected() if settings.lower_rejected else (), model, settings.review_limit)
        """What the scores of the next images go by."""
        self.dropped = 0
        """Requests whose pairs were not queued, since too many were waiting, or the disk was full."""
        self._settings = settings
        self._threads = ThreadPoolExecutor(1, "review")
        self._under_way = 0

    async def queue(self, answered: Sequence[Answered]) -> None:
        """Queue the pairs with the verdict ``review``. They are on the disk when this returns, as a rule: a full disk, or more
        than a second of waiting, keeps nobody from an answer."""
        doubtful = [one for one in answered if any(match.verdict == "review" for match in one[2].matches)]
        if not self._settings.review_queue or not doubtful:
            return
        if self._under_way >= MOST_UNDER_WAY:
            self.dropped += 1
            return
        self._under_way += 1
        writing = asyncio.get_running_loop().run_in_executor(self._threads, partial(self._write, doubtful))
        await asyncio.wait([writing], timeout=WAIT_SECONDS)

    def decide(self, number: int, decision: Decision | None, who: str) -> Review | None:
        """Keep a decision, or with None take one back, and let scores go by it; None where there is no such pair.

        Raises: CollectionError when nothing can be written.
        """
        decided = self.reviews.decide(number, decision, who, self._settings.review_limit)
        self.rejected.take_back(number)
        if self._settings.lower_rejected:
            for pair in self.reviews.rejected(number):
                self.rejected.add(pair)
        return decided

    def close(self) -> None:
        """Finish what is under way."""
        self._threads.shutdown()
        self.reviews.close()

    def _write(self, answered: Sequence[Answered]) -> None:
        try:
            self.reviews.add([pair for one in answered for pair in _pairs(*one)], self._settings.review_limit)
        except CopytraceError as error:
            self.dropped += 1
            log.warning("pairs to be reviewed were not queued: %s", error)
        except Exception:
            self.dropped += 1
            log.exception("pairs to be reviewed were not queued")
        finally:
            self._under_way -= 1


def _pairs(image: UploadedImage, computed: Computed, item: MatchedImage) -> list[NewReview]:
    assert computed.row is not None
    query = hashlib.sha256(image.data).hexdigest()
    name = image.name[:MAX_NAME]
    small = thumbnail(image.data, THUMBNAIL_PIXELS) or b""
    evidence = {one.reference_id: asdict(one.evidence) | {"query_id": name} for one in computed.matches or ()}
    return [
        NewReview(query, name, one.id, one.probability, one.score, evidence.get(one.id, {}), small, computed.row)
        for one in item.matches
        if one.verdict == "review"
    ]
