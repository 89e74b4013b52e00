"""``/status``."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from ..routes.context import TheService

router = APIRouter()


@router.get("/status", response_class=PlainTextResponse, responses={503: {"content": {"text/plain": {}}}})
async def status(service: TheService) -> PlainTextResponse:
    """200 when lookups are answered; 503 while the service is starting or draining."""
    if service.state == "ready":
        return PlainTextResponse("I-AM-ALIVE")
    return PlainTextResponse("INDEX-NOT-LOADED", 503)
