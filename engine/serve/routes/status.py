"""Whether the service is there, whether it can be used, and its figures."""

from functools import partial

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from ..forms import Health, TodayAnswer
from .context import Reader, TheService

router = APIRouter(tags=["status"])


@router.get("/healthz")
async def healthz() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/readyz", response_model=Health, responses={503: {"model": Health}})
async def readyz(service: TheService) -> JSONResponse:
    """200 when requests are taken; 503 while it is starting or draining."""
    return JSONResponse({"status": service.state}, 200 if service.state == "ready" else 503)


@router.get("/v1/today")
async def today(service: TheService, caller: Reader) -> TodayAnswer:
    """The numbers of the day."""
    since, numbers = service.today.numbers()
    reviews = service.reviewing.reviews
    decided = await service.read(partial(reviews.decided_since, since[:10]))
    return TodayAnswer(
        since=since,
        **{name: numbers[name] for name in ("match", "review", "no_match", "errors", "added", "replaced", "deleted")},
        accepted=decided["accept"],
        rejected=decided["reject"],
        waiting=await service.read(reviews.waiting),
        references=len(service.references),
    )


@router.get("/metrics")
async def metrics(service: TheService, caller: Reader) -> Response:
    """Figures in the form of Prometheus."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
