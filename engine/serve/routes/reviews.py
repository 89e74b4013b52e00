"""``/v1/reviews``."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from ...collection import Review
from ...collection.reviews import Order
from ..failure import RequestError
from ..forms import ErrorAnswer, NewDecision, ReviewAnswer, ReviewPage
from ..service import Service
from .context import Reviewer, TheService

router = APIRouter(prefix="/v1", tags=["reviews"])
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer}}
MOST_ID = (1 << 63) - 1
ReviewId = Annotated[int, Path(ge=1, le=MOST_ID)]


@router.get("/reviews")
async def page(
    service: TheService,
    caller: Reviewer,
    order: Annotated[Order, Query(description="The most doubtful has the probability nearest to a half.")] = "newest",
    decided: Annotated[bool, Query(description="Those with a decision, instead of those that wait for one.")] = False,
    after: Annotated[int | None, Query(ge=1, le=MOST_ID, description="Begin behind this one.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ReviewPage:
    """Pairs with the verdict ``review``, page by page."""
    reviews = service.reviewing.reviews
    question = partial(reviews.page, decided=decided, order=order, after=after, limit=limit + 1)
    found = await service.read(question)
    items = [_answer(review) for review in found[:limit]]
    following = items[-1].id if len(found) > limit else None
    return ReviewPage(items=items, waiting=await service.read(reviews.waiting), next=following)


@router.post("/reviews/{id}", responses=MISSING | {409: {"model": ErrorAnswer}, 507: {"model": ErrorAnswer}})
async def decide(service: TheService, caller: Reviewer, id: ReviewId, body: NewDecision) -> ReviewAnswer:
    """Accept or reject a pair. What is decided is on the disk, with who and when; another decision takes its place."""
    service.check_ready()
    decided = await service.write(partial(_decide, service, id, body, caller.name))
    if decided is None:
        raise _missing(id)
    return _answer(decided)


@router.get("/reviews/{id}/thumbnail", responses=MISSING, response_class=Response)
async def thumbnail(service: TheService, caller: Reviewer, id: ReviewId) -> Response:
    """A small picture of the query, as JPEG."""
    found = await service.read(partial(service.reviewing.reviews.thumbnail, id))
    if not found:
        raise _missing(id)
    return Response(found, media_type="image/jpeg")


def _decide(service: Service, number: int, body: NewDecision, who: str) -> Review | None:
    """Called where changes are made one at a time. Raises: RequestError 409."""
    if "before" in body.model_fields_set:
        found = service.reviewing.reviews.find(number)
        if found is not None and found.decision != body.before:
            by = f"{found.decision}ed by {found.who}" if found.decision else "taken back"
            raise RequestError(409, "decided", f"meanwhile it was {by}")
    return service.reviewing.decide(number, body.decision, who)


def _answer(review: Review) -> ReviewAnswer:
    return ReviewAnswer(
        id=review.number,
        created=review.created,
        query=review.query,
        name=review.name,
        reference=review.reference,
        probability=review.probability,
        score=review.score,
        evidence=review.evidence or None,
        decision=review.decision,
        who=review.who or None,
        decided=review.decided or None,
    )


def _missing(number: int) -> RequestError:
    return RequestError(404, "missing", f"there is no review {number}")
