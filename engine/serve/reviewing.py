"""The review queue behind the service: pairs with the verdict ``review`` go into the collection before they are answered."""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial

from ..collection import NewReview, Reviews
from ..errors import CopytraceError
from ..read import thumbnail
from .computing import Computed
from .forms import FoundMatch, MatchedImage
from .settings import Settings
from .uploads import UploadedImage

log = logging.getLogger(__name__)

THUMBNAIL_PIXELS = 360
MOST_UNDER_WAY = 64  # requests whose pairs are being written
WAIT_SECONDS = 1.0

Answered = tuple[UploadedImage, Computed, MatchedImage]


class Reviewing:
    """Writes by a connection and a thread of its own, so that it waits for no import and no compaction."""

    def __init__(self, reviews: Reviews, settings: Settings) -> None:
        self.reviews = reviews
        self.dropped = 0
        """Requests whose pairs were not queued, since too many were waiting, or the disk was full."""
        self._wanted = settings.review_queue
        self.most = settings.review_limit
        self._threads = ThreadPoolExecutor(1, "review")
        self._under_way = 0

    async def queue(self, answered: Sequence[Answered]) -> None:
        """Queue the pairs with the verdict ``review``. They are on the disk when this returns, as a rule: a full disk, or more
        than a second of waiting, keeps nobody from an answer."""
        doubtful = [one for one in answered if any(match.verdict == "review" for match in one[2].matches)]
        if not self._wanted or not doubtful:
            return
        if self._under_way >= MOST_UNDER_WAY:
            self.dropped += 1
            return
        self._under_way += 1
        writing = asyncio.get_running_loop().run_in_executor(self._threads, partial(self._write, doubtful))
        await asyncio.wait([writing], timeout=WAIT_SECONDS)

    def close(self) -> None:
        """Finish what is under way."""
        self._threads.shutdown()
        self.reviews.close()

    def _write(self, answered: Sequence[Answered]) -> None:
        try:
            self.reviews.add([pair for one in answered for pair in _pairs(*one)], self.most)
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
    small = thumbnail(image.data, THUMBNAIL_PIXELS) or b""
    evidence = {match.reference_id: asdict(match.evidence) for match in computed.matches or ()}
    return [
        NewReview(
            query,
            image.name,
            match.id,
            match.probability,
            match.score,
            evidence.get(match.id, {}) and evidence[match.id] | {"query_id": image.name},
            small,
            computed.row,
        )
        for match in item.matches
        if _is_doubtful(match)
    ]


def _is_doubtful(match: FoundMatch) -> bool:
    return match.verdict == "review"
