"""``/v1/jobs``."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query

from ..duplicates import MOST_PAIRS
from ..forms import DuplicatePage, ErrorAnswer, FoundPair, JobAnswer, JobList, NewJob
from .context import Reader, TheService, Writer

router = APIRouter(prefix="/v1", tags=["jobs"])


@router.post("/jobs", status_code=202)
async def start(service: TheService, caller: Writer, body: NewJob) -> JobAnswer:
    """Import a folder, tar or list of paths that lies on the service's own machine, where that is allowed; or look for
    duplicates among the references."""
    service.check_ready()
    return await service.read(partial(service.jobs.start, body, caller.name))


@router.get("/jobs")
async def list_jobs(service: TheService, caller: Reader) -> JobList:
    """The jobs, the newest first."""
    return JobList(items=service.jobs.all())


@router.get("/jobs/{id}", responses={404: {"model": ErrorAnswer}})
async def get(service: TheService, caller: Reader, id: str) -> JobAnswer:
    """How far a job is."""
    return service.jobs.get(id)


@router.get("/jobs/{id}/duplicates", responses={404: {"model": ErrorAnswer}, 409: {"model": ErrorAnswer}})
async def duplicates(
    service: TheService,
    caller: Reader,
    id: str,
    after: Annotated[int, Query(ge=0, le=MOST_PAIRS, description="Begin behind this pair.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DuplicatePage:
    """Pairs of references that a job found to be near-duplicates, the nearest first."""
    found = await service.read(partial(service.jobs.duplicates, id, after, limit + 1))
    items = [FoundPair(first=pair.first, second=pair.second, distance=pair.distance) for pair in found[:limit]]
    return DuplicatePage(items=items, next=found[limit - 1].place if len(found) > limit else None)


@router.post("/jobs/{id}/cancel", responses={404: {"model": ErrorAnswer}, 409: {"model": ErrorAnswer}})
async def cancel(service: TheService, caller: Writer, id: str) -> JobAnswer:
    """Let a job go no further; what it has added stays."""
    return await service.read(partial(service.jobs.cancel, id))
